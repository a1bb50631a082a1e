package pod

import (
	"errors"
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/peapod/peapod/rootfs"
)

var errNoCommand = errors.New("the image names no command to run; give one in command")

// process combines the spec and the image's defaults into what the OCI calls a
// process: args, env, cwd, user, capabilities, no_new_privs. Root is the
// image's root directory, nil for a builtin image.
func (p *Pod) process(i int, im *Image, root *os.File) (*specs.Process, error) {
	c, at := &p.Spec.Containers[i], containerPath(i)
	vars, err := p.variables(c, at)
	if err != nil {
		return nil, err
	}
	args, err := p.argv(c, at, im, vars)
	if err != nil {
		return nil, err
	}
	u, err := p.userOf(c, im, root)
	if errors.Is(err, errRunsAsRoot) {
		return nil, p.Errorf(at+".securityContext.runAsNonRoot", "%w", err)
	} else if err != nil {
		return nil, p.Errorf(at+".image", "%w", err)
	}
	env := newEnviron(im.Process.Env)
	env.setDefault("PATH", rootfs.DefaultPath)
	env.set("HOSTNAME", p.Hostname())
	for _, name := range vars.names {
		env.set(name, vars.values[name])
	}
	env.setDefault("HOME", u.home)
	process := &specs.Process{
		Args: args, Env: env.lines(), User: u.User,
		Cwd: firstOf(c.WorkingDir, im.Process.Cwd, "/"),
	}
	var capabilities *Capabilities
	if s := c.SecurityContext; s != nil {
		capabilities = s.Capabilities
		process.NoNewPrivileges = s.AllowPrivilegeEscalation != nil && !*s.AllowPrivilegeEscalation
	}
	process.Capabilities = capabilities.Linux()
	return process, nil
}

// argv follows Kubernetes: command replaces all that the image would run, args
// what follows its first words. A bundle has one list only; its first word
// counts as the image's entrypoint, the rest as its arguments.
func (p *Pod) argv(c *Container, at string, im *Image, vars *environ) ([]string, error) {
	words := func(field string, list []string) (out []string, err error) {
		for i, word := range list {
			if word, err = expand(word, vars.lookup); err != nil {
				return nil, p.Errorf(fmt.Sprintf("%s.%s[%d]", at, field, i), "%w", err)
			}
			out = append(out, word)
		}
		return out, nil
	}
	command, err := words("command", c.Command)
	if err != nil {
		return nil, err
	}
	args, err := words("args", c.Args)
	if err != nil {
		return nil, err
	}
	image := im.Process.Args
	switch {
	case len(command) > 0:
		if command[0] == "" {
			return nil, p.Errorf(at+".command[0]", "empty once its variables are filled in")
		}
		return append(command, args...), nil
	case len(image) == 0 && len(args) > 0:
		return nil, p.Errorf(at+".args", "the image has no entrypoint that args could follow; give command")
	case len(image) == 0:
		return nil, p.Errorf(at+".command", "%w", errNoCommand)
	case len(args) == 0:
		return append([]string(nil), image...), nil
	case im.Builtin():
		return append([]string{BuiltinBinary, "demo"}, args...), nil
	}
	return append([]string{image[0]}, args...), nil
}

func firstOf(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}
