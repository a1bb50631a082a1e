package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/runtime"
)

func (p *peapod) podExecCommand() *cli.Command {
	return &cli.Command{
		Name:      "exec",
		Usage:     "execute a command in a container of a pod",
		ArgsUsage: "POD [--] COMMAND [ARGUMENT...]",
		Description: `The exit status is that of the command, 128 and the number of the signal
that ended it, 127 where it was not found, 126 where it could not be executed.

Example: peapod pod exec -c web hello -- /bin/peapod demo env`,
		Flags: []cli.Flag{
			{Kind: cli.String, Name: "container", Short: "c", Usage: "in this `CONTAINER`", DefaultText: "the first"},
			{Name: "stdin", Short: "i", Usage: "pass the standard input on"},
			{Name: "tty", Short: "t", Usage: "give it a terminal"},
			{Kind: cli.Strings, Name: "env", Short: "e", Usage: "set `NAME=VALUE`; may be repeated"},
			{Kind: cli.String, Name: "user", Short: "u", Usage: "be `UID[:GID]`"},
			{Kind: cli.String, Name: "workdir", Short: "w", Usage: "working `DIR` in the container"},
		},
		Verbatim: 1,
		Late:     true,
		Action:   p.podExec,
	}
}

func (p *peapod) podExec(c *cli.Context) error {
	if err := c.NeedArgs(2, -1); err != nil {
		return err
	}
	name, err := p.onePod(c)
	if err != nil {
		return podError(err)
	}
	container, err := p.store().Container(name, c.String("container"))
	if err != nil {
		return podError(err)
	}
	process := *container.Spec().Process
	process.Args, process.Terminal, process.ConsoleSize = c.Args().Tail(), c.Bool("tty"), nil
	env, err := parseEnv(c.Strings("env"), os.LookupEnv)
	if err != nil {
		return err
	}
	process.Env = append(process.Env[:len(process.Env):len(process.Env)], env...)
	if dir := c.String("workdir"); dir != "" {
		process.Cwd = dir
	}
	if user := c.String("user"); user != "" {
		if err := setUser(&process.User, user); err != nil {
			return err
		}
	}
	p.debugProcess(container, &process)
	stdin := p.stdin
	if !c.Bool("stdin") {
		stdin = nil
	}
	io := &streams{stdin: stdin, stdout: p.stdout, stderr: p.stderr}
	if process.Terminal {
		io.terminal, err = openTerminal(stdin, p.stdout, p.stderr)
		if errors.Is(err, errNoTerminal) {
			return errors.New("pod exec: there is no terminal here: leave out -t")
		}
		if err != nil {
			return err
		}
		io.console, io.stdin, io.stdout, io.stderr = io.terminal.theirs, nil, nil, nil
	}
	defer io.close()
	o := &runtime.ExecOptions{Process: &process}
	io.exec(o)
	signals := catch()
	signals.wait()
	proc, err := container.Exec(c.Context, o)
	if err != nil {
		return podError(fmt.Errorf("pod %s: %w", name, err))
	}
	status, err := p.attend(io, signals, attended{proc.Wait, proc.Signal})
	if err != nil {
		return err
	}
	return exit(status.ExitCode())
}
