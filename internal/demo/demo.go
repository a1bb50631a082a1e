package demo

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

const usage = `usage: peapod demo COMMAND

  web [--listen ADDR] [--kv ADDR]   a page that shows the container from inside
  kv  [--listen ADDR]               a small key-value server; redis-cli works with it
  env                               print the environment
  sleep [DURATION]                  wait (90s, 5m; without one: until SIGTERM)
`

// errUsage is returned for arguments that have been complained about already.
var errUsage = errors.New("bad arguments")

// Main runs the demo program that args[0] names with the arguments that follow
// and returns its exit status: 0 when it did its work or was ended through ctx,
// 1 when it failed, 2 when the arguments are wrong. Nothing it started is left
// running when it returns.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := run(ctx, args, stdout, stderr)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		return 2
	}
	fmt.Fprintf(stderr, "peapod demo %s: %v\n", args[0], err)
	return 1
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		io.WriteString(stderr, usage)
		return errUsage
	}
	switch name, rest := args[0], args[1:]; name {
	case "web":
		return webMain(ctx, rest, stdout, stderr)
	case "kv":
		return kvMain(ctx, rest, stdout, stderr)
	case "env":
		return envMain(rest, stdout, stderr)
	case "sleep":
		return sleepMain(ctx, rest, stderr)
	case "help", "-h", "--help":
		io.WriteString(stdout, usage)
		return nil
	default:
		fmt.Fprintf(stderr, "peapod demo: there is no demo program %q\n%s", name, usage)
		return errUsage
	}
}

// parse applies fs to args and refuses more than max words after the flags.
func parse(fs *flag.FlagSet, args []string, stderr io.Writer, max int) error {
	fs.SetOutput(stderr)
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		return err
	} else if err != nil {
		return errUsage // package flag has said what is wrong
	}
	if fs.NArg() > max {
		fmt.Fprintf(stderr, "peapod demo %s: unexpected argument %q\n", fs.Name(), fs.Arg(max))
		return errUsage
	}
	return nil
}

func envMain(args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("env", flag.ContinueOnError)
	if err := parse(fs, args, stderr, 0); err != nil {
		return err
	}
	for _, line := range os.Environ() {
		if _, err := fmt.Fprintln(stdout, line); err != nil {
			return err
		}
	}
	return nil
}

func sleepMain(ctx context.Context, args []string, stderr io.Writer) error {
	fs := flag.NewFlagSet("sleep", flag.ContinueOnError)
	if err := parse(fs, args, stderr, 1); err != nil {
		return err
	}
	if fs.NArg() == 0 {
		<-ctx.Done()
		return nil
	}
	d, err := time.ParseDuration(fs.Arg(0))
	if err != nil || d < 0 {
		fmt.Fprintf(stderr, "peapod demo sleep: %q is not a duration such as 90s or 5m\n", fs.Arg(0))
		return errUsage
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	return nil
}
