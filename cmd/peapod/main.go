// Command peapod runs containers and pods. Its container commands have runc's
// options, output and exit codes, so that container engines can use it in
// runc's place; `peapod pod` runs Kubernetes pod specs on one machine.
//
// This package turns flags into specs and errors into exit codes. What it does
// is in the packages runtime and pod, which other programs may import.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/peapod/peapod/internal/demo"
	"github.com/peapod/peapod/pod"
	"golang.org/x/sys/unix"
)

// main has the project's only os.Exit.
func main() { os.Exit(run(os.Args[1:])) }

// run is the command line args, and returns the exit status.
func run(args []string) int {
	// These do without the command line's machinery: one runs in every
	// container of builtin:demo, one stays for as long as a pod.
	if len(args) == 2 && args[0] == "pod" && args[1] == "supervise" {
		return pod.Supervise()
	}
	if len(args) > 0 {
		switch args[0] {
		case "--version", "-v":
			fmt.Print(versionText())
			return 0
		case "demo":
			return demoMain(args[1:])
		}
	}
	p := newPeapod()
	defer p.close()
	if n := len(args); n > 0 && args[n-1] == completionFlag {
		for _, word := range p.complete(args[:n-1]) {
			fmt.Println(word)
		}
		return 0
	}
	return p.exitCode(p.main(context.Background(), args))
}

// demoMain is `peapod demo`: the programs of the image builtin:demo. They run
// as a container's first process, for which signals without a handler are
// ignored.
func demoMain(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	return demo.Main(ctx, args, os.Stdout, os.Stderr)
}
