// Command vm is the kernel lab: it boots virtual machines with kernels that this
// host does not have, and runs the packages' compiled tests in them. `make
// test-vm` calls it.
//
// The processor is emulated (no /dev/kvm is needed or used), the root is in
// memory, and nothing is left but a cache: kernels and images come from Debian's
// packages. A kernel, a machine and a suite are a line each of the tables in
// kernel.go, machine.go and suite.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/integration/internal/results"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	o, err := parseOptions(os.Args[1:])
	if err == nil {
		err = run(ctx, o)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "vm:", err)
		os.Exit(1)
	}
}

// options is what the command line says.
type options struct {
	machine, run, pkg    string
	verbose, shell, list bool
	timeout              time.Duration
}

func parseOptions(args []string) (*options, error) {
	o, flags := new(options), flag.NewFlagSet("vm", flag.ContinueOnError)
	flags.StringVar(&o.machine, "machine", "", "`names` of machines, with commas between them; all but those that are on request")
	flags.StringVar(&o.run, "run", "", "run the tests that match the `regexp` in place of what the table says")
	flags.StringVar(&o.pkg, "pkg", "", "`directories` of packages, with commas between them, in place of the table's")
	flags.BoolVar(&o.verbose, "v", false, "show all output, the kernel's too")
	flags.BoolVar(&o.shell, "shell", false, "a shell in the machine in place of tests")
	flags.BoolVar(&o.list, "list", false, "list the machines, and what is tested where")
	flags.DurationVar(&o.timeout, "timeout", 8*time.Minute, "of each machine")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("%q: there are options only, see -help", flags.Arg(0))
	}
	if _, err := regexp.Compile(o.run); err != nil {
		return nil, fmt.Errorf("-run: %w", err)
	}
	return o, nil
}

func run(ctx context.Context, o *options) error {
	root, err := results.ModuleRoot()
	if err != nil {
		return err
	}
	list, err := chooseMachines(o.machine)
	if err != nil {
		return err
	}
	if o.list {
		return printList(root, list)
	}
	if o.shell && len(list) != 1 {
		return errors.New("-shell wants one machine: -machine NAME")
	}
	l, err := newLab(root, o)
	if err != nil {
		return err
	}
	defer os.RemoveAll(l.tmp)
	if o.shell {
		return l.shell(ctx, list[0])
	}
	return l.all(ctx, list)
}
