// Command embed is a program of somebody else: it imports package pod, has no
// init hook, and runs a pod from its own main.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/peapod/peapod/pod"
)

func main() {
	p, err := pod.Load(os.Args[1])
	if err == nil {
		var result pod.Result
		result, err = pod.Run(context.Background(), p, &pod.Options{
			Store:  pod.Store{Root: os.Getenv("PEAPOD_ROOT"), Data: os.Getenv("PEAPOD_DATA")},
			Env:    []string{"FROM=embedder"},
			Output: func(l pod.Line) { fmt.Printf("[%s %s] %s\n", l.Container, l.Stream, l.Text) },
		})
		if err == nil {
			fmt.Printf("container %q failed with status %d\n", result.Container, result.ExitCode)
			os.Exit(result.ExitCode)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(99)
}
