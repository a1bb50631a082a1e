package proc

import (
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { os.Exit(testkit.Run(m)) }

func TestSelf(t *testing.T) {
	self, err := Find(os.Getpid())
	if err != nil || !self.Alive() {
		t.Fatal(self, err)
	}
	fd, err := self.Open()
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	again, err := Parse([]byte(self.String() + "\n"))
	if err != nil || again != self {
		t.Errorf("%v became %v: %v", self, again, err)
	}
}

// Names that are nobody's, though their numbers may be somebody's.
func TestNobody(t *testing.T) {
	for _, id := range []ID{{}, {PID: os.Getpid(), StartTime: 1}, {PID: 1 << 30, StartTime: 1}} {
		if id.Alive() {
			t.Errorf("%v is alive", id)
		}
		if fd, err := id.Open(); !errors.Is(err, ErrEnded) {
			t.Errorf("%v: descriptor %d, error %v", id, fd, err)
		}
	}
}

func TestZombie(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	id, err := Find(cmd.Process.Pid)
	if err != nil || !id.Alive() {
		t.Errorf("%v does not live: %v", id, err)
	}
	fd, err := id.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	cmd.Process.Kill()
	unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10_000) // it ended and was not reaped
	if id.Alive() {
		t.Error("a zombie is alive")
	}
	if _, err := id.Open(); !errors.Is(err, ErrEnded) {
		t.Errorf("a zombie was opened: %v", err)
	}
}

func TestParse(t *testing.T) {
	for _, text := range []string{"", "1", "0 1", "-1 1", "1 -1", "1 2 3", "a b", "1 99999999999999999999"} {
		if id, err := Parse([]byte(text)); err == nil || id != (ID{}) {
			t.Errorf("%q: %v, %v", text, id, err)
		}
	}
}

const line = "7 (a ) Z 1) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 12345 100 200 3"

func FuzzStat(f *testing.F) {
	f.Add([]byte(line))
	f.Add([]byte("7 (x) Z"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, err := parse(text); err != nil && s != (stat{}) {
			t.Errorf("%q: %v and %v", text, s, err)
		}
		if id, err := Parse(text); err == nil {
			if again, err := Parse([]byte(id.String())); err != nil || again != id {
				t.Errorf("%q: %v became %v: %v", text, id, again, err)
			}
		}
	})
}

func TestStat(t *testing.T) {
	if s, err := parse([]byte(line)); err != nil || s != (stat{startTime: 12345}) {
		t.Error(s, err)
	}
}
