package kernel

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Run(m)) }

// The arguments are refused by a kernel that has the call, and do nothing.
func TestArguments(t *testing.T) {
	before := testkit.Held()
	for _, c := range append([]call{clone3}, calls...) {
		if err := c.check(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		a := c.args
		_, _, errno := unix.RawSyscall6(c.number, a[0], a[1], a[2], a[3], a[4], 0)
		refused := errno == unix.EINVAL || errno == unix.EBADF || errno == unix.EFAULT || errno == unix.EPERM && c.privileged
		if !refused {
			t.Errorf("%s: %v", c.name, errno)
		}
	}
	before.Check(t)
	if err := errors.Join(Check(), CheckClone3()); err != nil {
		t.Error(err)
	}
}

func TestMissing(t *testing.T) {
	const never = 1 << 20 // no system call's number
	err := call{"new_call", "99.1", never, [5]uintptr{}, false}.check()
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, unix.ENOSYS) || e.Version != "99.1" {
		t.Fatalf("%v", err)
	}
	for _, word := range []string{"new_call", "99.1", Minimum, release(), "seccomp"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%v: no %q", err, word)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	for b.Loop() {
		for _, c := range calls {
			c.check()
		}
	}
}
