package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

func TestRefusedBackend(t *testing.T) {
	var j journal
	p := &Proxy{}
	j.attach(p)
	alive := connect(t, forward(t, p, server(t, copyBack)).Addr())
	talk(t, alive)

	dead := refused(t)
	f := forward(t, p, dead)
	const n = 50
	for range n {
		start := time.Now()
		if err := wantReset(t, f.Addr()); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("reset after %v", d)
		}
	}
	talk(t, alive)
	for _, e := range j.ended(t, n) {
		if !errors.Is(e.Err, unix.ECONNREFUSED) || !strings.Contains(e.Err.Error(), "dial backend "+dead) {
			t.Fatalf("event: %v", e.Err)
		}
	}
	if s := p.Stats(); s.Failed != n || s.Active != 1 {
		t.Errorf("stats: %+v", s)
	}
	if l := j.lines("backend cannot be reached"); l < 1 || l > 5 {
		t.Errorf("%d log lines for %d refusals", l, n)
	}
}

// wantReset connects and returns an error unless the connection is reset,
// which may happen so soon that connect(2) tells.
func wantReset(t *testing.T, addr net.Addr) error {
	c, err := net.Dial("tcp", addr.String())
	if err == nil {
		defer c.Close()
		c.SetDeadline(time.Now().Add(testkit.Patience))
		_, err = c.Read(make([]byte, 1))
	}
	if errors.Is(err, unix.ECONNRESET) {
		return nil
	}
	return fmt.Errorf("no reset: %w", err)
}

func TestDialRetry(t *testing.T) {
	addr := refused(t)
	var attempts atomic.Int32
	tried := make(chan struct{})
	p := &Proxy{DialRetry: time.Minute, Dial: func(ctx context.Context, addr string) (net.Conn, error) {
		if attempts.Add(1) == 3 {
			close(tried)
		}
		return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	}}
	c := connect(t, forward(t, p, addr).Addr())
	if _, err := io.WriteString(c, "early"); err != nil {
		t.Fatal(err)
	}
	<-tried
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			copyBack(c.(*net.TCPConn))
			c.Close()
		}
	}()
	c.CloseWrite()
	if got, err := io.ReadAll(c); string(got) != "early" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestDialRetryEnds(t *testing.T) {
	var j journal
	p := &Proxy{DialRetry: 50 * time.Millisecond}
	j.attach(p)
	c := connect(t, forward(t, p, refused(t)).Addr())
	start := time.Now()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("got %v", err)
	}
	if d := time.Since(start); d < 40*time.Millisecond || d > 2*time.Second {
		t.Errorf("gave up after %v", d)
	}
	if e := j.ended(t, 1)[0]; !errors.Is(e.Err, unix.ECONNREFUSED) {
		t.Errorf("event: %v", e.Err)
	}
}

func TestDialRetryStopsForGoneClient(t *testing.T) {
	var j journal
	p := &Proxy{DialRetry: time.Hour}
	j.attach(p)
	c := connect(t, forward(t, p, refused(t)).Addr())
	io.WriteString(c, "data that nobody reads")
	c.SetLinger(0)
	c.Close()
	if e := j.ended(t, 1)[0]; !errors.Is(e.Err, unix.ECONNRESET) {
		t.Errorf("event: %v", e.Err)
	}
}

func TestDialTimeout(t *testing.T) {
	p := &Proxy{DialTimeout: 20 * time.Millisecond, Dial: func(ctx context.Context, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	var j journal
	j.attach(p)
	c := connect(t, forward(t, p, "hangs:1").Addr())
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("got %v", err)
	}
	if e := j.ended(t, 1)[0]; !errors.Is(e.Err, context.DeadlineExceeded) {
		t.Errorf("event: %v", e.Err)
	}
}

// alternate picks its addresses in turn.
type alternate struct {
	addrs []string
	next  atomic.Int32
}

func (a *alternate) Pick(context.Context, net.Addr) (string, error) {
	if len(a.addrs) == 0 {
		return "", errors.New("no backend is ready")
	}
	return a.addrs[int(a.next.Add(1))%len(a.addrs)], nil
}

func TestBackends(t *testing.T) {
	name := func(s string) func(*net.TCPConn) {
		return func(c *net.TCPConn) { io.WriteString(c, s) }
	}
	p := &Proxy{}
	defer p.Close()
	f, err := p.Forward(t.Context(), "127.0.0.1:0", &alternate{addrs: []string{server(t, name("a")), server(t, name("b"))}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for range 10 {
		b, err := io.ReadAll(connect(t, f.Addr()))
		if err != nil {
			t.Fatal(err)
		}
		got[string(b)]++
	}
	if got["a"] != 5 || got["b"] != 5 {
		t.Errorf("answers: %v", got)
	}
	none, err := p.Forward(t.Context(), "127.0.0.1:0", &alternate{})
	if err != nil {
		t.Fatal(err)
	}
	if err := wantReset(t, none.Addr()); err != nil {
		t.Errorf("no backend: %v", err)
	}
}

func TestIdleTimeout(t *testing.T) {
	const limit = 400 * time.Millisecond
	for _, kind := range []string{"spliced", "copied"} {
		t.Run(kind, func(t *testing.T) {
			var j journal
			p := &Proxy{IdleTimeout: limit}
			if kind == "copied" {
				p.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
					c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
					return hidden{c}, err
				}
			}
			j.attach(p)
			c := connect(t, forward(t, p, server(t, copyBack)).Addr())
			// Busy for several limits, in smaller steps than one.
			for start := time.Now(); time.Since(start) < 3*limit; time.Sleep(limit / 10) {
				talk(t, c)
			}
			start := time.Now()
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
				t.Errorf("got %v", err)
			}
			if d := time.Since(start); d < limit/2 || d > limit+time.Second {
				t.Errorf("cut after %v", d)
			}
			if e := j.ended(t, 1)[0]; !errors.Is(e.Err, ErrIdle) {
				t.Errorf("event: %v", e.Err)
			}
		})
	}
}

func TestKeepAlive(t *testing.T) {
	for _, d := range []time.Duration{-1, 0, 7 * time.Second} {
		t.Run(fmt.Sprint(d), func(t *testing.T) {
			conns := make(chan *net.TCPConn, 2)
			p := &Proxy{KeepAlive: d}
			p.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
				c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
				if err == nil {
					conns <- c.(*net.TCPConn)
				}
				return c, err
			}
			p.Listen = func(ctx context.Context, network, addr string) (net.Listener, error) {
				l, err := (&net.ListenConfig{}).Listen(ctx, network, addr)
				return watched{l, conns}, err
			}
			c := connect(t, forward(t, p, server(t, copyBack)).Addr())
			talk(t, c)
			for range 2 {
				on, idle := keepAliveOf(t, <-conns)
				want := map[time.Duration][2]int{-1: {0, 0}, 0: {1, 15}, 7 * time.Second: {1, 7}}[d]
				if on != want[0] || on == 1 && idle != want[1] {
					t.Errorf("keep-alive %d after %d s, want %v", on, idle, want)
				}
			}
		})
	}
}

type watched struct {
	net.Listener
	conns chan *net.TCPConn
}

func (w watched) Accept() (net.Conn, error) {
	c, err := w.Listener.Accept()
	if err == nil {
		w.conns <- c.(*net.TCPConn)
	}
	return c, err
}

func keepAliveOf(t *testing.T, c *net.TCPConn) (on, idle int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		on, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE)
		idle, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)
	})
	return on, idle
}
