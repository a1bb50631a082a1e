// Command benchproxy measures `peapod proxy` against HAProxy, nginx's stream
// module, a proxy of a few lines around Go's io.Copy, and no proxy at all. It
// has to run as root (one backend is in a network namespace that it makes) and
// wants an idle machine. `make bench-proxy` calls it.
//
// All run in one go on the same two processors. In each round every peer has
// one turn in each measurement, and another one begins each time, so that what
// else the machine does meets all of them alike.
//
// Everything that it starts is ended at the end, also after Ctrl-C, and if it is
// killed itself.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/integration/internal/results"
)

// roles are what this program does in processes of their own, by their first
// argument.
var roles = map[string]func(args []string) error{
	"-backend": backendMain,
	"-load":    loadMain,
	"-relay":   relayMain,
}

func main() {
	if len(os.Args) > 1 {
		if role := roles[os.Args[1]]; role != nil {
			if err := role(os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, "benchproxy "+os.Args[1]+":", err)
				os.Exit(1)
			}
			return
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "benchproxy:", err)
		os.Exit(1)
	}
}

// options is what the command line says.
type options struct {
	rounds      int
	turn        time.Duration // of one peer in one measurement
	conns, idle int
	short       bool
	write       bool
	only        *regexp.Regexp
	peapod, out string
}

func parseOptions(root string) (*options, error) {
	o := new(options)
	flag.BoolVar(&o.short, "short", false, "one round of a second each, to see that everything works; the figures mean nothing")
	flag.BoolVar(&o.write, "write", false, "write docs/benchmarks-proxy.md and .svg")
	only := flag.String("only", "", "measure only what matches this `regexp`: "+strings.Join(measurements, ", "))
	flag.IntVar(&o.rounds, "rounds", 10, "rounds; every peer has its turn in each")
	flag.DurationVar(&o.turn, "turn", 2*time.Second, "how long a turn is")
	flag.IntVar(&o.conns, "conns", 50, "connections of the clients that send requests")
	flag.IntVar(&o.idle, "idle", 10000, "idle connections, fewer where descriptors run short")
	flag.StringVar(&o.peapod, "peapod", filepath.Join(root, "bin/peapod"), "the peapod binary")
	flag.StringVar(&o.out, "o", filepath.Join(root, "docs"), "directory of the report")
	flag.Parse()
	if flag.NArg() > 0 || o.rounds < 1 || o.turn < time.Second || o.turn%time.Second != 0 || o.conns < 1 || o.idle < 1 {
		return nil, errors.New("usage: benchproxy [-short] [-write] [-rounds N] [-turn 2s (whole seconds)] [-conns N] [-idle N] [-only REGEXP] [-peapod FILE] [-o DIRECTORY]")
	}
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		return nil, fmt.Errorf("-only: %w", err)
	}
	if o.short {
		o.rounds, o.turn, o.idle = 1, time.Second, min(o.idle, 1000)
	}
	return o, nil
}

func run(ctx context.Context) (err error) {
	root, err := results.ModuleRoot()
	if err != nil {
		return err
	}
	o, err := parseOptions(root)
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("must run as root: a network namespace is made; try sudo make bench-proxy")
	}
	if err := twoProcessors(); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "peapod-benchproxy-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	// nginx's workers are another user.
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	b, err := newBench(ctx, o, tmp)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.measure(ctx); err != nil {
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		return err
	}
	tables := b.tables()
	page := b.markdown(tables)
	fmt.Print(page)
	if !o.write {
		return nil
	}
	return results.Write(o.out, reportName, page, results.Chart(tables))
}

// twoProcessors keeps this process and all that it starts on the first two of
// the processors that it may use, by starting itself once more: an affinity set
// later would not be that of Go's threads.
func twoProcessors() error {
	var have, want unix.CPUSet
	if err := unix.SchedGetaffinity(0, &have); err != nil {
		return err
	}
	if have.Count() <= 2 {
		return nil
	}
	for cpu := 0; want.Count() < 2; cpu++ {
		if have.IsSet(cpu) {
			want.Set(cpu)
		}
	}
	// Of this thread, which is the one that stays.
	if err := unix.SchedSetaffinity(0, &want); err != nil {
		return err
	}
	return unix.Exec("/proc/self/exe", os.Args, os.Environ())
}
