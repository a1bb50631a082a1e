package namespaces

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A thread that started a process with Pdeathsig is not one of those that end.
func TestNewSparesParents(t *testing.T) {
	const n = 8
	var children [n]*exec.Cmd
	var started, end sync.WaitGroup
	hold := make(chan struct{})
	started.Add(n)
	for i := range children {
		end.Go(func() {
			// On as many threads; all of them are idle afterwards.
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			c := exec.Command("sleep", "60")
			c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
			if err := c.Start(); err != nil {
				t.Error(err)
			} else {
				children[i] = c
			}
			started.Done()
			<-hold
		})
	}
	started.Wait()
	close(hold)
	end.Wait()
	for range 4 * n {
		s, err := New(UTS)
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
	time.Sleep(20 * time.Millisecond) // threads end after New returns
	for _, c := range children {
		if c == nil {
			continue
		}
		c.Process.Signal(unix.SIGTERM)
		c.Wait()
		if status := c.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != unix.SIGTERM {
			t.Errorf("a process ended by %v together with the thread that started it", status.Signal())
		}
	}
}
