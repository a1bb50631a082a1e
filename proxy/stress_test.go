package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
)

// TestStress mixes clients that behave, go away in the middle, and reset, over
// a limit of connections, and wants the books to balance.
func TestStress(t *testing.T) {
	var j journal
	p := &Proxy{Loops: 3, MaxConns: 20, IdleTimeout: 10 * time.Second}
	j.attach(p)
	f := forward(t, p, server(t, copyBack))
	const clients = 300
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(7, uint64(i)))
			c, err := net.Dial("tcp", f.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(30 * time.Second))
			data := bytes.Repeat([]byte{byte(i)}, rng.IntN(200_000))
			go func() {
				c.Write(data)
				c.(*net.TCPConn).CloseWrite()
			}()
			switch i % 3 {
			case 0: // behaves
				if got, err := io.ReadAll(c); !bytes.Equal(got, data) || err != nil {
					t.Errorf("client %d: %d of %d bytes, %v", i, len(got), len(data), err)
				}
			case 1: // has had enough
				io.CopyN(io.Discard, c, int64(len(data)/2))
			case 2:
				io.CopyN(io.Discard, c, int64(len(data)/2))
				c.(*net.TCPConn).SetLinger(0)
			}
		})
	}
	wg.Wait()
	j.ended(t, clients)
	if s := p.Stats(); s.Accepted != clients || s.Active != 0 || len(j.opened) != clients || len(j.closed) != clients {
		t.Errorf("stats: %+v, %d opened, %d closed", s, len(j.opened), len(j.closed))
	}
	for _, c := range j.closed {
		if c.Err == nil && c.In != c.Out {
			t.Errorf("ended in order after %d bytes in, %d out", c.In, c.Out)
		}
	}
}

// TestIdleDoesNotWake counts how often the threads of this process gave up the
// processor of their own accord, which is once per wake-up.
func TestIdleDoesNotWake(t *testing.T) {
	p := &Proxy{}
	f := forward(t, p, server(t, copyBack))
	for range 5 {
		talk(t, connect(t, f.Addr()))
	}
	const span = 300 * time.Millisecond
	testkit.Until(t, func() string { // Go's own threads come to rest after a while
		before := switches(t)
		time.Sleep(span)
		if n := switches(t) - before; n > 12 { // the timer of this test, its /proc reads
			return fmt.Sprintf("%d wake-ups in %v", n, span)
		}
		return ""
	})
}

func switches(t *testing.T) int {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			continue // the thread ended
		}
		for s := bufio.NewScanner(f); s.Scan(); {
			if rest, ok := strings.CutPrefix(s.Text(), "voluntary_ctxt_switches:"); ok {
				var n int
				fmt.Sscan(rest, &n)
				total += n
			}
		}
		f.Close()
	}
	return total
}
