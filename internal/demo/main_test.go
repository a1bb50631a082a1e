package demo

import (
	"bytes"
	"context"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Run(m)) }

// start serves s on a free port of the loopback until the test ends.
func start(t *testing.T, s *server) (addr string, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.serve(ctx, ln) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("serve: %v", err)
			}
		case <-time.After(5 * time.Second):
			t.Error("serve does not return after its context has ended")
		}
	}
	t.Cleanup(stop)
	return ln.Addr().String(), stop
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(5 * time.Second))
	t.Cleanup(func() { c.Close() })
	return c
}

func TestMainStatus(t *testing.T) {
	t.Setenv("PEAPOD_DEMO_TEST", "a b")
	tests := []struct {
		args           []string
		status         int
		stdout, stderr string
	}{
		{nil, 2, "", "usage: peapod demo"},
		{[]string{"help"}, 0, "usage: peapod demo", ""},
		{[]string{"nonsense"}, 2, "", `there is no demo program "nonsense"`},
		{[]string{"env"}, 0, "PEAPOD_DEMO_TEST=a b\n", ""},
		{[]string{"env", "X"}, 2, "", `unexpected argument "X"`},
		{[]string{"sleep", "1ms"}, 0, "", ""},
		{[]string{"sleep", "soon"}, 2, "", `"soon" is not a duration`},
		{[]string{"web", "--nonsense"}, 2, "", "not defined: -nonsense"},
		{[]string{"web", "--help"}, 0, "", "address of the key-value server"},
		{[]string{"web", "--listen", "127.0.0.1:99999"}, 1, "", "peapod demo web: listen tcp"},
		{[]string{"kv", "--listen", "127.0.0.1:99999"}, 1, "", "peapod demo kv: listen tcp"},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if got := Main(t.Context(), tt.args, &stdout, &stderr); got != tt.status {
				t.Errorf("status %d, want %d", got, tt.status)
			}
			if !strings.Contains(stdout.String(), tt.stdout) || tt.stdout == "" && stdout.Len() > 0 {
				t.Errorf("stdout %q, want %q in it", stdout.String(), tt.stdout)
			}
			if !strings.Contains(stderr.String(), tt.stderr) || tt.stderr == "" && stderr.Len() > 0 {
				t.Errorf("stderr %q, want %q in it", stderr.String(), tt.stderr)
			}
		})
	}
}

// Every server program says where it listens and ends with its context.
func TestMainStops(t *testing.T) {
	for _, args := range [][]string{{"web", "--listen", "127.0.0.1:0"}, {"kv", "--listen", "127.0.0.1:0"}, {"sleep"}} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		var stdout, stderr bytes.Buffer
		if got := Main(ctx, args, &stdout, &stderr); got != 0 {
			t.Errorf("%v: status %d: %s", args, got, &stderr)
		}
		if args[0] != "sleep" && !strings.Contains(stdout.String(), args[0]+": listening on 127.0.0.1:") {
			t.Errorf("%v: stdout %q", args, &stdout)
		}
		cancel()
	}
}
