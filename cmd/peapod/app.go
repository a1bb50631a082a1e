package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/internal/nearest"
	"github.com/peapod/peapod/pod"
	"github.com/peapod/peapod/runtime"
	"golang.org/x/sys/unix"
)

// peapod is one call of the program.
type peapod struct {
	stdin          *os.File
	stdout, stderr *os.File
	log            *slog.Logger
	logFile        *os.File // of --log, or nil
	machine        bool     // the log is JSON on the standard error
	root, data     string   // of --root and --data
	systemd        bool     // of --systemd-cgroup
	path           []string // the command that was found: "pod", "run"
	expected       runtime.Runtime
}

func newPeapod() *peapod {
	p := &peapod{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	p.log = slog.New(&terseHandler{w: p.stderr, level: slog.LevelWarn})
	return p
}

func (p *peapod) close() {
	if p.logFile != nil {
		p.logFile.Close()
	}
}

// main parses the command line and does what it says.
func (p *peapod) main(ctx context.Context, args []string) error {
	c, err := cli.Parse(p.program(), args)
	p.path = c.Path
	if err != nil {
		p.globals(c) // engines read the reason in the log
		return err
	}
	switch {
	case len(c.Path) == 0 && c.Bool("version"):
		_, err := io.WriteString(p.stdout, versionText())
		return err
	case c.Help:
		return c.WriteHelp(p.stdout)
	}
	if c.Command.Name == "run" && len(c.Path) == 1 {
		p.expected.Expect() // before anything else is looked at
	}
	c.Context = ctx
	if err := p.globals(c); err != nil {
		return err
	}
	return c.Command.Action(c)
}

// The parts of the list of commands.
const (
	containerCategory = "Containers"
	podCategory       = "Pods"
	otherCategory     = "Other"
)

// program is the whole command line.
func (p *peapod) program() *cli.Command {
	return &cli.Command{
		Name:      "peapod",
		Usage:     "run containers and pods",
		ArgsUsage: "[arguments]",
		Description: `Container commands take OCI bundles, as runc does; "peapod pod" takes
Kubernetes pod specs. "peapod COMMAND --help" says more about a command.

Example: sudo peapod pod run examples/hello.json`,
		Flags: p.globalFlags(),
		Commands: slices.Concat(
			category(containerCategory, p.runCommand(), p.createCommand(), p.startCommand(), p.execCommand(), p.killCommand(),
				p.pauseCommand(), p.resumeCommand(), p.updateCommand(), p.deleteCommand(), p.stateCommand(), p.listCommand(),
				p.psCommand(), p.eventsCommand(), p.checkpointCommand(), p.restoreCommand(), p.specCommand(), p.planCommand()),
			category(podCategory, p.podCommand(), p.serviceCommand(), p.statsCommand()),
			category(otherCategory, p.proxyCommand(), p.featuresCommand(), p.completionCommand()),
		),
		// runc's, and what people try.
		Elsewhere: map[string]string{
			"version": "--version", "services": "service", "svc": "service", "pods": "pod", "logs": "pod logs", "apply": "pod apply",
		},
	}
}

func category(name string, commands ...*cli.Command) []*cli.Command {
	for _, c := range commands {
		c.Category = name
	}
	return commands
}

func (p *peapod) globalFlags() []cli.Flag {
	return []cli.Flag{
		{Kind: cli.String, Name: "root", Env: "PEAPOD_ROOT", Usage: "keep the state in `DIR`", Value: runtime.DefaultRoot(), DefaultText: "/run/peapod, or $XDG_RUNTIME_DIR/peapod if not root"},
		{Kind: cli.String, Name: "data", Env: "PEAPOD_DATA", Usage: "keep logs and volumes of pods in `DIR`", Value: pod.DefaultDataDir(), DefaultText: "/var/lib/peapod, or ~/.local/share/peapod if not root"},
		{Kind: cli.String, Name: "log", Usage: "write errors and warnings to `FILE` too"},
		{Kind: cli.String, Name: "log-format", Value: "text", Usage: "of the log: `FORMAT` text or json", Choices: []string{"text", "json"}},
		{Name: "debug", Usage: "log what is done"},
		{Name: "version", Short: "v", Usage: "print the version"},
		{Name: "systemd-cgroup", Usage: "have systemd make the cgroups: scopes, slice:prefix:name"},
		{Kind: cli.String, Name: "rootless", Value: "auto", Hidden: true}, // engines pass it to any runtime
		{Kind: cli.String, Name: "criu", Hidden: true},                    // its path, for checkpoint and restore
	}
}

// globals applies the options that stand before the command.
func (p *peapod) globals(c *cli.Context) error {
	p.root, p.data = c.String("root"), c.String("data")
	p.systemd = c.Bool("systemd-cgroup")
	switch rootless := c.String("rootless"); {
	case c.Command != nil && c.Command.Name == "spec": // has an option of its own of that name
	case rootless != "auto" && rootless != "true" && rootless != "false":
		return fmt.Errorf("--rootless %s: give true, false or auto", rootless)
	case rootless == "true" && os.Geteuid() == 0, rootless == "false" && os.Geteuid() != 0:
		return fmt.Errorf("--rootless %s: who runs peapod decides that: root or an ordinary user", rootless)
	}
	return p.openLog(c.String("log"), c.String("log-format"), c.Bool("debug"))
}

// runtime is where the containers are.
func (p *peapod) runtime() *runtime.Runtime { return &runtime.Runtime{Root: p.root, Log: p.log} }

// load finds the container that is the first argument.
func (p *peapod) load(c *cli.Context) (*runtime.Container, error) {
	container, err := p.runtime().Load(c.Args().First())
	if errors.Is(err, runtime.ErrNotExist) {
		if e := checkID(c.Args().First()); e != nil {
			return container, fmt.Errorf("%w: %w", e, err)
		}
		if near := nearest.Name(c.Args().First(), p.registered("containers")); near != "" {
			err = fmt.Errorf("%w; did you mean %s?", err, near)
		}
	}
	return container, err
}

// checkID refuses ids that everybody would take for an option. Where there is
// such a container, as a program may have made it, all but run and create work.
func checkID(id string) error {
	if strings.HasPrefix(id, "-") {
		return fmt.Errorf("container id %q: must not begin with -", id)
	}
	return nil
}

// exitError gives an exit status to an error, or, without an error, is a status
// alone: a container's.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// exit is nil for the status 0.
func exit(code int) error {
	if code == 0 {
		return nil
	}
	return &exitError{code: code}
}

// exitCode reports err and returns the exit status that it asks for: 1, or for
// exec 255, where the status is that of the process otherwise.
func (p *peapod) exitCode(err error) int {
	if err == nil {
		return 0
	}
	code := 1
	if len(p.path) == 1 && p.path[0] == "exec" {
		code = 255
	}
	var e *exitError
	if errors.As(err, &e) {
		code = e.code
		if e.err == nil {
			return code
		}
	}
	if p.machine {
		p.log.Error(p.explain(err.Error(), os.Geteuid()))
		return code
	}
	for line := range strings.SplitSeq(p.explain(err.Error(), os.Geteuid()), "\n") {
		fmt.Fprintf(p.stderr, "peapod: %s\n", line)
	}
	if p.logFile != nil {
		p.log.Error(err.Error())
	}
	return code
}

// explain adds to the lines of an error what ordinary users can do about
// directories that are root's.
func (p *peapod) explain(text string, euid int) string {
	if euid == 0 {
		return text
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if os.Getenv("XDG_RUNTIME_DIR") == "" && strings.Contains(line, "/run/user/") && strings.HasSuffix(line, unix.EACCES.Error()) {
			lines[i] += ": XDG_RUNTIME_DIR is not set: log in (machinectl shell, ssh), or give --root DIR"
			continue
		}
		ours := p.root != "" && strings.Contains(line, p.root+"/") || p.data != "" && strings.Contains(line, p.data+"/")
		if ours && strings.HasSuffix(line, unix.EACCES.Error()) {
			lines[i] += ": run it with sudo"
		}
	}
	return strings.Join(lines, "\n")
}
