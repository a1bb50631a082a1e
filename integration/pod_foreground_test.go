package integration

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

func TestPodForeground(t *testing.T) {
	long := probing("echo", "one", ";", "stderr", "two", ";", "exit", "9")
	long["name"] = "longer"
	name, path := podSpec(t, probing("echo"), long)
	r := peapod(t, "pod", "run", "-e", "X= y", "--arg", "a=arg", "--arg", "a=b=c", path)
	r.wants(9)
	if !strings.Contains(r.stdout, "a      | arg b=c\n") || !strings.Contains(r.stdout, "longer | one\n") {
		t.Errorf("stdout %q", r.stdout)
	}
	// Whether a ends first is up to the kernel.
	want := "longer | two\npeapod: longer exited with status 9\npeapod: pod " + name + " failed: longer exited with status 9\n"
	if got := strings.Replace(r.stderr, "peapod: a exited with status 0\n", "", 1); got != want {
		t.Errorf("stderr %q, want %q", r.stderr, want)
	}
	peapod(t, "pod", "inspect", name).wants(1, name) // nothing is left
	// From the standard input, under another name.
	other := newName(t)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	feed(t, f, "pod", "run", "--name", other, "-").wants(9)
}

func TestPodForegroundSignals(t *testing.T) {
	_, path := podSpec(t, probing("wait"))
	for _, signal := range []unix.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP} {
		p := begin(t, command(t, "pod", "run", path))
		p.sees("a | ready")
		p.cmd.Process.Signal(signal)
		// It may have come while the pod was being started.
		if code := p.status(); code != 0 && code != 128+int(signal) {
			t.Errorf("%v: status %d", signal, code)
		}
	}
	// Once more kills what does not listen.
	name, path := podSpec(t, probing("wait"))
	p := begin(t, command(t, "pod", "run", path))
	p.sees("a | ready")
	testkit.Eventually(t, "it runs", func() bool { return strings.Contains(peapod(t, "pod", "ps").ok(), "Running") })
	peapod(t, "kill", name+".a", "STOP").ok()
	start := time.Now()
	p.cmd.Process.Signal(unix.SIGINT)
	p.sees("stopping pod " + name)
	p.cmd.Process.Signal(unix.SIGINT)
	p.sees("killing pod " + name)
	p.sees("a was killed")
	p.status()
	if took := time.Since(start); took > 8*time.Second {
		t.Errorf("killing took %v", took)
	}
}

// A crash loop is told of.
func TestPodForegroundRestarts(t *testing.T) {
	name, path := podSpec(t, probing("exit", "2"))
	spec := strings.Replace(read(t, path), `"Never"`, `"OnFailure"`, 1)
	p := command(t, "pod", "run", "-")
	p.Stdin = strings.NewReader(spec)
	r := begin(t, p)
	r.sees("peapod: a exited with status 2, starts again\n")
	r.sees("peapod: a exited with status 2, starts again in 1s\n")
	p.Process.Signal(unix.SIGINT)
	r.sees("stopping pod " + name)
	r.status()
}

// Who waits at a terminal learns for what.
func TestPodStopWaits(t *testing.T) {
	name, path := podSpec(t, probing("wait"))
	peapod(t, "pod", "run", "-d", path).ok()
	peapod(t, "kill", name+".a", "STOP").ok()
	p, _, _ := onTerminal(t, "pod", "stop", name)
	p.sees("stopping pod " + name + ": waiting for a to end, up to ")
	p.sees("(peapod pod stop -t 0 " + name + " kills it now)")
	peapod(t, "pod", "stop", "-t", "0", name).ok()
	if code := p.status(); code != 0 {
		t.Errorf("status %d", code)
	}
}

// Several pods are stopped at the same time: one that takes long keeps none of the
// others waiting, nor does one that is not there.
func TestPodStopTogether(t *testing.T) {
	slow, path := podSpec(t, probing("wait"))
	peapod(t, "pod", "run", "-d", path).ok()
	quick, path := podSpec(t, probing("wait"))
	peapod(t, "pod", "run", "-d", path).ok()
	logged(t, quick, "ready") // it would not notice a signal before
	peapod(t, "kill", slow+".a", "STOP").ok()
	none := testkit.Mark + "none"
	stop := begin(t, command(t, "pod", "stop", none, slow, quick))
	peapod(t, "pod", "wait", quick).ok()
	if status := peapod(t, "pod", "inspect", slow).ok(); !strings.Contains(status, `"phase": "Running"`) {
		t.Errorf("the slow pod has ended: %s", status)
	}
	peapod(t, "pod", "stop", "-t", "0", slow).ok()
	stop.sees(none)
	if code := stop.status(); code != 1 {
		t.Errorf("status %d", code)
	}
}

// On a terminal each container has a colour, unless NO_COLOR is set.
func TestPodColour(t *testing.T) {
	_, path := podSpec(t, probing("echo", "x"))
	t.Setenv("TERM", "xterm")
	for _, no := range []string{"", "1"} {
		t.Setenv("NO_COLOR", no)
		p, _, _ := onTerminal(t, "pod", "run", path)
		p.status()
		if text := p.sees("x\r\n"); strings.Contains(text, "\x1b[") != (no == "") {
			t.Errorf("NO_COLOR=%q: %q", no, text)
		}
	}
}

// A reader who leaves stops the pod; nothing is left.
func TestPodReaderLeaves(t *testing.T) {
	name, path := podSpec(t, probing("wait", ";", "echo", "more", ";", "wait"))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := command(t, "pod", "run", path)
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	r.SetReadDeadline(time.Now().Add(testkit.Patience))
	if _, err := r.Read(make([]byte, 64)); err != nil {
		t.Fatal(err)
	}
	r.Close()
	peapod(t, "kill", name+".a", "USR1").ok()
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v", err)
	}
	peapod(t, "pod", "inspect", name).wants(1)
}
