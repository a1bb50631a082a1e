// Command soak passes many connections through `peapod proxy` and checks every
// byte of them. `make soak` calls it: a million connections, for a quarter of an
// hour or so on two processors.
//
// The kinds of connections ([kinds]) come in a random order: with half-closes
// by either side, slow readers, resets by either side in the middle, which must
// not look like an end. The contents and the sizes of both directions follow
// from a random number that the client sends first, and SHA-256 sums follow them.
// In the end the proxy has to have counted what the clients did, and to have no
// more descriptors and not much more memory than after the first connections.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/integration/internal/results"
)

// options is what the command line says.
type options struct {
	connections, places, hold int
	seed                      uint64
	peapod                    string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	if err := begin(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func begin(ctx context.Context) error {
	root, err := results.ModuleRoot()
	if err != nil {
		return err
	}
	var o options
	flag.IntVar(&o.connections, "n", 1_000_000, "connections")
	flag.IntVar(&o.places, "places", 128, "how many at the same time")
	flag.IntVar(&o.hold, "hold", 10_000, "connections that are open at once in the end, fewer where descriptors run short")
	flag.Uint64Var(&o.seed, "seed", 1, "another `number`, other connections")
	flag.StringVar(&o.peapod, "peapod", filepath.Join(root, "bin/peapod"), "the peapod binary")
	flag.Parse()
	if flag.NArg() > 0 || o.connections < 1 || o.places < 1 || o.hold < 0 {
		return errors.New("usage: soak [-n CONNECTIONS] [-places N] [-hold N] [-seed NUMBER] [-peapod FILE]")
	}
	r, err := soak(ctx, o)
	if r != nil {
		r.print(os.Stdout)
	}
	return err
}
