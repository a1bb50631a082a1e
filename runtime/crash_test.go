package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
)

// victim is a process that uses the library to create containers until it is
// killed.
func victim() int {
	r := &Runtime{Root: os.Getenv(victimState)}
	spec := baseSpec(os.Getenv(victimImage))
	spec.Linux.CgroupsPath = os.Getenv(victimID)
	spec.Process.Args = ops(op("wait"))
	id := filepath.Base(os.Getenv(victimID))
	how := r.Run
	if os.Getenv("PEAPOD_TEST_HOW") == "Create" {
		how = r.Create
	}
	fmt.Println("begin")
	if _, err := how(context.Background(), id, &CreateOptions{Spec: spec}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	time.Sleep(time.Hour) // a select without cases may count as a deadlock
	return 0
}

// Wherever the creator is killed, Load and Delete clear what is left of it.
func TestCreatorIsKilled(t *testing.T) {
	s := newStage(t)
	image, state := s.image, s.r.Root
	outcomes := map[string]int{}
	for i := range 40 {
		how := []string{"Run", "Create"}[i%2]
		id := s.id()
		path := group + "/" + id
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), victimID+"="+path, victimState+"="+state, victimImage+"="+image, "PEAPOD_TEST_HOW="+how)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 10)); err != nil {
			t.Fatal(err, errs.String())
		}
		time.Sleep(time.Duration(i) * 250 * time.Microsecond) // the moment is what is tested
		cmd.Process.Kill()
		cmd.Wait()
		if errs.Len() > 0 {
			t.Fatal(errs.String())
		}
		c, err := s.r.Load(id)
		if errors.Is(err, ErrNotExist) {
			outcomes["nothing"]++
		} else if err != nil {
			t.Fatal(err)
		} else {
			outcomes[string(c.Status())]++
			if err := c.Delete(testkit.Soon(t), true); err != nil {
				t.Errorf("%s killed after %d: %v", how, i, err)
			}
		}
		s.empty()
		if t.Failed() {
			t.Fatalf("%s, killed after %d quarters of a ms", how, i)
		}
	}
	t.Log(outcomes)
}

// What was killed right behind the making of the directory can be cleared, and
// is no reason for List to fail.
func TestHalfMade(t *testing.T) {
	testkit.NeedRoot(t)
	r := &Runtime{Root: t.TempDir()}
	if err := os.MkdirAll(filepath.Join(r.Root, "containers", "half"), 0o711); err != nil {
		t.Fatal(err)
	}
	if list, err := r.List(); err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	c, err := r.Load("half")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(testkit.Soon(t), false); !errors.Is(err, ErrNotStopped) {
		t.Error(err)
	}
	if c.Spec() == nil || c.State() == nil {
		t.Error("no state")
	}
	if err := c.Delete(testkit.Soon(t), true); err != nil {
		t.Error(err)
	}
	if _, err := r.Load("half"); !errors.Is(err, ErrNotExist) {
		t.Error(err)
	}
}

// A container can end with the process that made it.
func TestKillWithParent(t *testing.T) {
	s := newStage(t)
	c := s.start(op("wait"))
	c.line()
	p := command(op("wait"))
	p.User.UID = 1000 // a change of user resets the signal
	o := &ExecOptions{Process: p, KillWithParent: true}
	proc, err := c.Exec(testkit.Soon(t), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	// It lives as long as this process, not as the thread that made it.
	if exit, err := proc.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it ended with %v, %v", exit, err)
	}
	s.spec.Process.Args = ops(op("wait"))
	options := s.options(s.id())
	options.KillWithParent = true
	second := s.launch(options, (*Runtime).Run)
	second.line()
	ctx, cancel = context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if exit, err := second.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it ended with %v, %v", exit, err)
	}
}
