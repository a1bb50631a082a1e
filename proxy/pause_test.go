package proxy

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

func TestPause(t *testing.T) {
	var j journal
	p := &Proxy{Loops: 2}
	j.attach(p)
	f := forward(t, p, server(t, copyBack))
	before := connect(t, f.Addr())
	talk(t, before)
	for range 3 {
		for range 2 { // the second time is for nothing
			if err := f.Pause(); err != nil {
				t.Fatal(err)
			}
		}
		for range 10 {
			if c, err := net.Dial("tcp", f.Addr().String()); !errors.Is(err, unix.ECONNREFUSED) {
				t.Fatalf("paused: %v, %v", c, err)
			}
		}
		if l, err := net.Listen("tcp", f.Addr().String()); !errors.Is(err, unix.EADDRINUSE) {
			t.Fatalf("somebody else listens there: %v, %v", l, err)
		}
		talk(t, before)
		for range 2 {
			if err := f.Resume(); err != nil {
				t.Fatal(err)
			}
		}
		for range 10 {
			c := connect(t, f.Addr())
			talk(t, c)
			c.Close()
		}
	}
	if n := j.lines("shut down by others"); n > 0 {
		t.Errorf("%d complaints", n)
	}
	f.Pause()
	if err := errors.Join(f.Close(), f.Pause(), f.Resume()); err != nil {
		t.Error(err)
	}
	if l, err := net.Listen("tcp", f.Addr().String()); err != nil {
		t.Error(err)
	} else {
		l.Close()
	}
}

// TestPauseUnderLoad has clients come while a front is paused and goes on: each is
// served, or told at once that it is not.
func TestPauseUnderLoad(t *testing.T) {
	f := forward(t, &Proxy{Loops: 2}, server(t, copyBack))
	var stop atomic.Bool
	var served, turnedAway atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				switch err := talkOnce(f.Addr()); {
				case err == nil:
					served.Add(1)
				case errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ECONNRESET):
					turnedAway.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	defer func() { stop.Store(true); wg.Wait() }()
	for range 100 {
		had := served.Load()
		testkit.Until(t, func() string {
			if served.Load() == had {
				return "nobody is served"
			}
			return ""
		})
		if err := f.Pause(); err != nil {
			t.Fatal(err)
		}
		had = turnedAway.Load()
		testkit.Until(t, func() string {
			if turnedAway.Load() == had {
				return "nobody is turned away"
			}
			return ""
		})
		if err := f.Resume(); err != nil {
			t.Fatal(err)
		}
	}
}

func talkOnce(addr net.Addr) error {
	c, err := net.DialTimeout("tcp", addr.String(), testkit.Patience)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(testkit.Patience))
	if _, err := io.WriteString(c, "ping"); err != nil {
		return err
	}
	_, err = io.ReadFull(c, make([]byte, 4))
	return err
}
