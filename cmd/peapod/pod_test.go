package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peapod/peapod/pod"
	"golang.org/x/sys/unix"
)

func makeDirs(t testing.TB, root string, dirs ...string) {
	t.Helper()
	for _, d := range dirs {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestParseArgs(t *testing.T) {
	got, err := parseArgs([]string{"a=1", "b=", "a=x=y, z"})
	if err != nil || !slices.Equal(got["a"], []string{"1", "x=y, z"}) || !slices.Equal(got["b"], []string{""}) {
		t.Errorf("%q, %v", got, err)
	}
	for _, s := range []string{"", "a", "=x"} {
		if _, err := parseArgs([]string{s}); err == nil {
			t.Errorf("%q is accepted", s)
		}
	}
}

func TestParseEnv(t *testing.T) {
	here := func(name string) (string, bool) { return "here", name == "HERE" }
	got, err := parseEnv([]string{"A=1", "B=", "C= a=b, ", "HERE"}, here)
	if err != nil || !slices.Equal(got, []string{"A=1", "B=", "C= a=b, ", "HERE=here"}) {
		t.Errorf("%q, %v", got, err)
	}
	for _, s := range []string{"", "=x", "ELSEWHERE"} {
		if _, err := parseEnv([]string{s}, here); err == nil {
			t.Errorf("%q is accepted", s)
		}
	}
}

func TestAge(t *testing.T) {
	now := time.Unix(1e9, 0)
	for span, want := range map[time.Duration]string{
		0: "0s", -time.Second: "0s", 119 * time.Second: "119s", 2 * time.Minute: "2m", 119 * time.Minute: "119m",
		3 * time.Hour: "3h", 47 * time.Hour: "47h", 100 * time.Hour: "4d",
	} {
		if got := age(now.Add(-span), now); got != want {
			t.Errorf("%v: %s, want %s", span, got, want)
		}
	}
	if got := age(time.Time{}, now); got != "-" {
		t.Errorf("never started: %s", got)
	}
}

func TestPodRow(t *testing.T) {
	seven := 7
	r := &pod.Record{Pod: &pod.Pod{Metadata: pod.Metadata{Name: "web"}}}
	r.Pod.Spec.Containers = []pod.Container{
		{Name: "a", Ports: []pod.Port{{ContainerPort: 80, HostPort: 8080, HostIP: "127.0.0.1"}, {ContainerPort: 81}}},
		{Name: "b", Ports: []pod.Port{{ContainerPort: 5, HostPort: 5}}},
	}
	r.Status = pod.PodStatus{Phase: pod.PodRunning, Supervisor: pod.SupervisorStatus{PID: 42}, ContainerStatuses: []pod.ContainerStatus{
		{Name: "a", Ready: true, RestartCount: 2, State: pod.ContainerState{Running: &pod.StateRunning{}}},
		{Name: "b", RestartCount: 1, State: pod.ContainerState{Waiting: &pod.StateWaiting{Reason: "CrashLoopBackOff"}}},
	}}
	want := "web|1/2|CrashLoopBackOff|3|-|12M/64M|127.0.0.1:8080->80/tcp,0.0.0.0:5->5/tcp|42|a=running,b=CrashLoopBackOff"
	if got := strings.Join(podRow(r, time.Now(), "12M/64M", true), "|"); got != want {
		t.Errorf("%s", got)
	}
	for _, phase := range []pod.Phase{pod.PodSucceeded, pod.PodFailed} {
		r.Status.Phase = phase
		if got := podPorts(r); got != nil {
			t.Errorf("ports of a pod that has ended: %q", got)
		}
	}
	for want, status := range map[string]pod.PodStatus{
		"Pending": {}, "Running": {Phase: pod.PodRunning}, "Failed(7)": {Phase: pod.PodFailed, ExitCode: &seven},
		"Succeeded": {Phase: pod.PodSucceeded}, "SupervisorLost": {Phase: pod.PodFailed, ExitCode: &seven, Reason: pod.ReasonLost},
	} {
		if got := podWord(status); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := portName(r.Pod, "a", 80); got != "" {
		t.Errorf("name of a port without one: %q", got)
	}
}

func TestLineWriter(t *testing.T) {
	var out, errs bytes.Buffer
	w := &lineWriter{out: &out, err: &errs, prefixes: map[string][2]string{"a": {"a  | ", "a  ! "}, "bcd": {"bcd | ", "bcd ! "}}}
	for _, l := range []pod.Line{
		{Container: "a", Text: []byte("one")},
		{Container: "bcd", Stream: "stderr", Text: []byte("bad")},
		{Container: "a", Text: []byte("long "), Partial: true},
		{Container: "a", Text: []byte("line")},
		{Container: "a", Text: []byte("begun"), Partial: true},
		{Container: "bcd", Text: []byte("between")},
		{Container: "a", Text: []byte("rest")},
	} {
		if err := w.write(l); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := out.String(), "a  | one\na  | long line\na  | begun\nbcd | between\na  | rest\n"; got != want {
		t.Errorf("%q", got)
	}
	if got := errs.String(); got != "bcd ! bad\n" {
		t.Errorf("%q", got)
	}
	out.Reset()
	w = &lineWriter{out: &out, times: true}
	w.write(pod.Line{Time: time.Unix(0, 5).UTC(), Text: []byte("x")})
	if got := out.String(); got != "1970-01-01T00:00:00.000000005Z x\n" {
		t.Errorf("%q", got)
	}
}

func TestColour(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if wantsColour(null, func(string) string { return "" }) {
		t.Error("colour without a terminal")
	}
	if w := newLineWriter(null, null, []string{"a", "long"}); w.prefixes["a"][0] != "a    | " {
		t.Errorf("%q", w.prefixes)
	}
	tty, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	if !wantsColour(tty, func(string) string { return "" }) {
		t.Error("no colour on a terminal")
	}
	for _, name := range []string{"NO_COLOR", "TERM"} {
		if wantsColour(tty, func(n string) string { return map[string]string{name: "dumb"}[n] }) {
			t.Errorf("colour in spite of %s", name)
		}
	}
}

func TestExitCode(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, tt := range []struct {
		path []string
		err  error
		code int
	}{
		{nil, nil, 0}, {[]string{"run"}, errors.New("x"), 1}, {[]string{"exec"}, errors.New("x"), 255},
		{[]string{"pod", "exec"}, errors.New("x"), 1}, {[]string{"exec"}, exit(3), 3}, {[]string{"run"}, exit(0), 0},
		{[]string{"pod", "run"}, fmt.Errorf("y: %w", &exitError{127, errors.New("x")}), 127},
	} {
		p := newPeapod()
		p.stderr, p.path = f, tt.path
		if got := p.exitCode(tt.err); got != tt.code {
			t.Errorf("%v %v: %d, want %d", tt.path, tt.err, got, tt.code)
		}
	}
}

func TestErrorLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stderr")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := newPeapod()
	p.stderr = f
	p.exitCode(errors.New("a:1: one\na:2: two"))
	if data, _ := os.ReadFile(path); string(data) != "peapod: a:1: one\npeapod: a:2: two\n" {
		t.Errorf("%q", data)
	}
	p.root, p.data = "/run/peapod", "/var/lib/peapod"
	denied := "open /run/peapod/containers: permission denied"
	for in, want := range map[string]string{
		denied:                         denied + ": run it with sudo",
		"x\n" + denied + "\ny":         "x\n" + denied + ": run it with sudo\ny",
		denied + ": use sudo":          denied + ": use sudo",
		"open /etc: permission denied": "open /etc: permission denied",
	} {
		if got := p.explain(in, 1000); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if got := p.explain(in, 0); got != in {
			t.Errorf("as root: %q", got)
		}
	}
}

// A log line for people, and those that engines read.
func TestLogFormats(t *testing.T) {
	var b bytes.Buffer
	h := &terseHandler{w: &b}
	slog.New(h).With("id", "web").Warn("what", "error", errors.New("why"))
	if got := b.String(); got != "peapod: warning: what (id web, error why)\n" {
		t.Errorf("%q", got)
	}
}

func TestParsePublish(t *testing.T) {
	for in, want := range map[string]pod.Port{
		"8080:80":           {HostPort: 8080, ContainerPort: 80, Protocol: "TCP"},
		"127.0.0.1:80:8080": {HostPort: 80, ContainerPort: 8080, HostIP: "127.0.0.1", Protocol: "TCP"},
		"[::1]:80:8080/tcp": {HostPort: 80, ContainerPort: 8080, HostIP: "::1", Protocol: "TCP"},
	} {
		if got, err := parsePublish([]string{in}); err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "80", "x:80", "80:x", "80:0", "70000:80", "host:80:80", "1.2.3:80:80", "80:80/udp"} {
		if got, err := parsePublish([]string{in}); err == nil {
			t.Errorf("%s: %+v", in, got)
		}
	}
}
