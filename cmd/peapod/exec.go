package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/runtime"
)

func (p *peapod) execCommand() *cli.Command {
	return &cli.Command{
		Name:      "exec",
		Usage:     "execute a further process in a container",
		ArgsUsage: "ID COMMAND [ARGUMENT...] | --process FILE ID",
		Description: `The process has the environment, user and limits of the container's own,
but for what the options say. What follows ID is the command, options
included. The exit status is that of the process, 128 and the number of the
signal that ended it, or 255 when it could not be executed.

Example: peapod exec -t --env TERM=xterm web1 sh -l`,
		Flags: append([]cli.Flag{
			{Kind: cli.String, Name: "cwd", Usage: "working `DIR` in the container"},
			{Kind: cli.Strings, Name: "env", Short: "e", Usage: "set `NAME=VALUE`; may be repeated"},
			{Name: "tty", Short: "t", Usage: "give it a terminal"},
			{Kind: cli.String, Name: "user", Short: "u", Usage: "be `UID[:GID]`"},
			{Kind: cli.Strings, Name: "additional-gids", Short: "g", Usage: "be of the group `GID` too; may be repeated"},
			{Kind: cli.String, Name: "process", Short: "p", Usage: "take the whole process from the JSON `FILE` (-: standard input)"},
			{Name: "detach", Short: "d", Usage: "do not wait"},
			{Kind: cli.Strings, Name: "cap", Short: "c", Usage: "have the capability `CAP` too; may be repeated"},
			{Name: "no-new-privs", Usage: "set no_new_privs"},
			{Kind: cli.String, Name: "apparmor", Usage: "have the AppArmor `PROFILE`"},
			{Kind: cli.String, Name: "process-label", Usage: "have the SELinux `LABEL`"},
			{Kind: cli.Strings, Name: "cgroup", Usage: "be in the cgroup `[CONTROLLERS:]PATH` below the container's"},
			{Name: "ignore-paused", Usage: "wait for a paused container to be resumed"},
		}, processFlags()...),
		Verbatim: 1,
		Action:   p.exec,
	}
}

func (p *peapod) exec(c *cli.Context) error {
	if err := c.NeedArgs(1, -1); err != nil {
		return err
	}
	var signals *signals
	detach := c.Bool("detach")
	if !detach {
		signals = catch()
	}
	container, err := p.load(c)
	if err != nil {
		return err
	}
	o := &runtime.ExecOptions{PidFile: c.String("pid-file"), IgnorePaused: c.Bool("ignore-paused"), Cgroups: c.Strings("cgroup")}
	if o.Process, err = p.execProcess(c, container.Spec().Process); err != nil {
		return err
	}
	p.debugProcess(container, o.Process)
	io, err := p.openStreams(c, o.Process, detach)
	if err != nil {
		return err
	}
	defer io.close()
	io.exec(o)
	if detach {
		_, err := container.Exec(c.Context, o)
		return err
	}
	process, err := container.Exec(c.Context, o)
	if err != nil {
		return err
	}
	signals.wait()
	status, err := p.attend(io, signals, attended{process.Wait, process.Signal})
	if err != nil {
		return err
	}
	return exit(status.ExitCode())
}

func (p *peapod) debugProcess(c *runtime.Container, process *specs.Process) {
	p.log.Debug("execute a process", "container", c.ID(), "command", process.Args, "cwd", process.Cwd,
		"uid", process.User.UID, "terminal", process.Terminal)
}

// execProcess is the process to execute: that of --process, or the container's
// with what the options change.
func (p *peapod) execProcess(c *cli.Context, own *specs.Process) (*specs.Process, error) {
	if path := c.String("process"); path != "" {
		if c.NArg() > 1 {
			return nil, errors.New("--process has the command: leave that behind the id out")
		}
		if ignored := besides(c); len(ignored) > 0 {
			p.log.Warn("--process says what the process is: these options are ignored", "options", strings.Join(ignored, " "))
		}
		if path == "-" {
			path = "/dev/stdin"
		}
		return runtime.LoadProcess(path)
	}
	if c.NArg() < 2 {
		return nil, errors.New("exec args cannot be empty: give the command behind the id")
	}
	process := specs.Process{Cwd: "/"}
	if own != nil {
		process = *own
	}
	process.Args = c.Args().Tail()
	process.Terminal = c.Bool("tty")
	process.ConsoleSize = nil
	process.Env = append(process.Env[:len(process.Env):len(process.Env)], c.Strings("env")...)
	if cwd := c.String("cwd"); cwd != "" {
		process.Cwd = cwd
	}
	if c.IsSet("no-new-privs") {
		process.NoNewPrivileges = c.Bool("no-new-privs")
	}
	if s := c.String("apparmor"); s != "" {
		process.ApparmorProfile = s
	}
	if s := c.String("process-label"); s != "" {
		process.SelinuxLabel = s
	}
	if c.IsSet("user") {
		// Not "" for none: a script's empty variable would be the container's root.
		if err := setUser(&process.User, c.String("user")); err != nil {
			return nil, err
		}
	}
	groups, err := parseGroups(c.Strings("additional-gids"))
	if err != nil {
		return nil, err
	}
	process.User.AdditionalGids = append(process.User.AdditionalGids[:len(process.User.AdditionalGids):len(process.User.AdditionalGids)], groups...)
	for _, name := range c.Strings("cap") {
		if !runtime.KnownCapability(name) {
			return nil, fmt.Errorf("--cap %q: there is no such capability (capabilities(7) has the names)", name)
		}
	}
	process.Capabilities = withCapabilities(process.Capabilities, c.Strings("cap"))
	return &process, nil
}

// besides are the options that say what --process says, but for --tty, which conmon
// always gives.
func besides(c *cli.Context) (list []string) {
	for _, name := range []string{"cwd", "env", "user", "additional-gids", "cap", "no-new-privs", "apparmor", "process-label"} {
		if c.IsSet(name) {
			list = append(list, "--"+name)
		}
	}
	return list
}

// setUser takes UID or UID:GID.
func setUser(user *specs.User, s string) error {
	uid, gid, both := strings.Cut(s, ":")
	n, err := parseID(uid)
	if err != nil {
		return fmt.Errorf("--user %q: give UID or UID:GID, as numbers", s)
	}
	user.UID = n
	if both {
		if user.GID, err = parseID(gid); err != nil {
			return fmt.Errorf("--user %q: give UID or UID:GID, as numbers", s)
		}
	}
	return nil
}

// parseGroups takes numbers, several of them with commas between.
func parseGroups(list []string) (groups []uint32, err error) {
	for _, s := range list {
		for _, g := range strings.Split(s, ",") {
			n, err := parseID(g)
			if err != nil {
				return nil, fmt.Errorf("--additional-gids %q: give the number of a group", g)
			}
			groups = append(groups, n)
		}
	}
	return groups, nil
}

// parseID parses a user's or group's number. The highest means "none" to the
// kernel.
func parseID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err == nil && n == 1<<32-1 {
		err = strconv.ErrRange
	}
	return uint32(n), err
}

// withCapabilities returns caps and add. As with runc they are ambient only
// where the container has inheritable ones, without which they cannot be.
func withCapabilities(caps *specs.LinuxCapabilities, add []string) *specs.LinuxCapabilities {
	if len(add) == 0 {
		return caps
	}
	sum := specs.LinuxCapabilities{}
	if caps != nil {
		sum = *caps
	}
	join := func(list []string) []string { return append(list[:len(list):len(list)], add...) }
	sum.Bounding, sum.Effective, sum.Permitted = join(sum.Bounding), join(sum.Effective), join(sum.Permitted)
	if sum.Inheritable != nil {
		sum.Ambient = join(sum.Ambient)
	}
	return &sum
}
