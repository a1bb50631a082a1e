package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/peapod/peapod/pod"
	"github.com/peapod/peapod/runtime"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
)

// peapod is one call of the program.
type peapod struct {
	stdin          *os.File
	stdout, stderr *os.File
	log            *slog.Logger
	logFile        *os.File // of --log, or nil
	root, data     string   // of --root and --data
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
	only := ""
	if n := skipFlags(p.globalFlags(), args); n < len(args) {
		only = args[n]
		if only == "run" {
			p.expected.Expect() // before anything else is looked at
		}
	}
	app := p.app(only)
	args, path, err := arrange(app, args)
	p.path = path
	if err != nil {
		return err
	}
	return app.RunContext(ctx, append([]string{app.Name}, args...))
}

// app is the whole command line, or what the command only needs of it.
func (p *peapod) app(only string) *cli.App {
	return &cli.App{
		Name:      "peapod",
		HelpName:  "peapod",
		Usage:     "run containers and pods",
		UsageText: "peapod [global options] COMMAND [options] [arguments]",
		Description: `Container commands take OCI bundles, as runc does; "peapod pod" takes
Kubernetes pod specs. "peapod COMMAND --help" says more about a command.

Example: sudo peapod pod run examples/hello.json`,
		Flags:                     p.globalFlags(),
		Before:                    p.globals,
		Commands:                  p.commands(only),
		Action:                    func(c *cli.Context) error { return cli.ShowAppHelp(c) },
		Writer:                    p.stdout,
		ErrWriter:                 p.stderr,
		HideVersion:               true,
		HideHelpCommand:           true,
		DisableSliceFlagSeparator: true,
		OnUsageError:              usageError,
		ExitErrHandler:            func(*cli.Context, error) {}, // main exits
		CustomAppHelpTemplate:     appHelp,
	}
}

// The parts of the list of commands.
const (
	containerCategory = "Containers"
	podCategory       = "Pods"
	otherCategory     = "Other"
)

// commands are all, or, where there is one, the one called only: to build the
// rest would make each start some 0.03 ms longer.
func (p *peapod) commands(only string) (list []*cli.Command) {
	for _, c := range []struct {
		name, category string
		build          func() *cli.Command
	}{
		{"run", containerCategory, p.runCommand},
		{"create", containerCategory, p.createCommand},
		{"start", containerCategory, p.startCommand},
		{"exec", containerCategory, p.execCommand},
		{"kill", containerCategory, p.killCommand},
		{"delete", containerCategory, p.deleteCommand},
		{"state", containerCategory, p.stateCommand},
		{"list", containerCategory, p.listCommand},
		{"ps", containerCategory, p.psCommand},
		{"spec", containerCategory, p.specCommand},
		{"plan", containerCategory, p.planCommand},
		{"pod", podCategory, p.podCommand},
		{"completion", otherCategory, p.completionCommand},
	} {
		if c.name != only && only != "" {
			continue
		}
		command := c.build()
		command.Category = c.category
		finish(command)
		list = append(list, command)
	}
	if len(list) == 0 {
		return p.commands("")
	}
	return list
}

// finish sets what all commands have in common.
func finish(c *cli.Command) {
	c.HideHelpCommand = true
	c.OnUsageError = usageError
	c.CustomHelpTemplate = commandHelp
	for _, sub := range c.Subcommands {
		finish(sub)
	}
}

func (p *peapod) globalFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "root", EnvVars: []string{"PEAPOD_ROOT"}, Usage: "keep the state in `DIR`", Value: runtime.DefaultRoot(), DefaultText: "/run/peapod, or $XDG_RUNTIME_DIR/peapod if not root"},
		&cli.StringFlag{Name: "data", EnvVars: []string{"PEAPOD_DATA"}, Usage: "keep logs and volumes of pods in `DIR`", Value: pod.DefaultData},
		&cli.StringFlag{Name: "log", Usage: "write errors and warnings to `FILE` too"},
		&cli.StringFlag{Name: "log-format", Value: "text", Usage: "of --log: `FORMAT` text or json"},
		&cli.BoolFlag{Name: "debug", Usage: "log what is done"},
		&cli.BoolFlag{Name: "version", Aliases: []string{"v"}, Usage: "print the version"},
		// Engines pass these to any runtime.
		&cli.BoolFlag{Name: "systemd-cgroup", Hidden: true},
		&cli.StringFlag{Name: "rootless", Value: "auto", Hidden: true},
	}
}

// globals applies the options that stand before the command.
func (p *peapod) globals(c *cli.Context) error {
	p.root, p.data = c.String("root"), c.String("data")
	switch {
	case c.Bool("systemd-cgroup"):
		return errors.New("--systemd-cgroup: cgroups are made by writing to the file system only, for now: " +
			"leave the option out (podman: --cgroup-manager cgroupfs; Docker: native.cgroupdriver=cgroupfs)")
	case c.String("rootless") != "auto" && c.String("rootless") != "false":
		return fmt.Errorf("--rootless %s: containers need root for now: give auto or false", c.String("rootless"))
	}
	return p.openLog(c.String("log"), c.String("log-format"), c.Bool("debug"))
}

// defaultRoot is the state directory where --root is not given.
func (p *peapod) defaultRoot() string {
	if dir := os.Getenv("PEAPOD_ROOT"); dir != "" {
		return dir
	}
	return runtime.DefaultRoot()
}

// runtime is where the containers are.
func (p *peapod) runtime() *runtime.Runtime { return &runtime.Runtime{Root: p.root, Log: p.log} }

// load finds the container that is the first argument.
func (p *peapod) load(c *cli.Context) (*runtime.Container, error) {
	container, err := p.runtime().Load(c.Args().First())
	if errors.Is(err, runtime.ErrNotExist) {
		if e := checkID(c.Args().First()); e != nil {
			err = fmt.Errorf("%w: %w", e, err)
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
		ours := p.root != "" && strings.Contains(line, p.root+"/") || p.data != "" && strings.Contains(line, p.data+"/")
		if ours && strings.HasSuffix(line, unix.EACCES.Error()) {
			lines[i] += ": run it with sudo"
		}
	}
	return strings.Join(lines, "\n")
}
