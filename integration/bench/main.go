// Command bench measures peapod against its peers, crun and runc, and against
// a floor: a C program that makes the same calls and nothing else. It has to
// run as root, wants an idle machine, and writes docs/benchmarks.md and
// docs/benchmarks.svg. `make bench` calls it.
//
// All contenders run the same bundle in turns, a few runs each, round after
// round, so that what else the machine does meets all of them alike. The
// harness takes the time around the start of a process and the wait for it.
//
// Everything happens in private mount namespaces; what was made is removed at
// the end, also after Ctrl-C.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/integration/internal/results"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	var err error
	if len(os.Args) == 2 && os.Args[1] == stageArgument {
		err = stageMain(ctx)
	} else {
		err = run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options is what the command line says.
type options struct {
	Rounds, Runs int
	Short        bool
	report       bool
	peapod, out  string
}

func parseOptions(root string) (*options, error) {
	o, write := new(options), ""
	flag.BoolVar(&o.Short, "short", false, "a few runs only, to see that everything works; the times mean nothing")
	flag.BoolFunc("write", "write the report also with -short; -write=false: never", func(v string) (err error) {
		write = v
		_, err = strconv.ParseBool(v)
		return err
	})
	flag.IntVar(&o.Rounds, "rounds", 10, "rounds; every contender has its turn in each")
	flag.IntVar(&o.Runs, "runs", 20, "runs of a contender in one turn")
	flag.StringVar(&o.peapod, "peapod", filepath.Join(root, "bin/peapod"), "the peapod binary")
	flag.StringVar(&o.out, "o", filepath.Join(root, "docs"), "directory of the report")
	flag.Parse()
	if flag.NArg() > 0 || o.Rounds < 1 || o.Runs < 1 {
		return nil, errors.New("usage: bench [-short] [-write] [-rounds N] [-runs N] [-peapod FILE] [-o DIRECTORY]")
	}
	if o.Short {
		o.Rounds, o.Runs = 2, 2
	}
	if o.report = !o.Short; write != "" {
		o.report, _ = strconv.ParseBool(write)
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
		return errors.New("must run as root: containers, mounts and cgroups are made; try sudo make bench")
	}
	tmp, err := os.MkdirTemp("", "peapod-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeAll(tmp)) }()

	c, err := findContenders(ctx, o, root, tmp)
	if err != nil {
		return err
	}
	r := newReport(o, c)
	for _, stage := range stages() {
		result, err := runStage(ctx, stage, c)
		if err != nil {
			return err
		}
		r.add(result)
	}
	if err := r.binary(ctx, c); err != nil {
		return err
	}
	fmt.Print(r.markdown())
	if !o.report {
		return nil
	}
	return results.Write(o.out, "benchmarks", r.markdown(), results.Chart(r.tables))
}

// removeAll removes dir. What is still ending, such as podman's monitors, may
// make files there for a moment.
func removeAll(dir string) (err error) {
	for range 50 {
		if err = os.RemoveAll(dir); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}
