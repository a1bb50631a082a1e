package proxy

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// TestUrgentData has urgent data between others, at which recv(2) stops. All are
// there before the first is read: the endpoint listens late.
func TestUrgentData(t *testing.T) {
	for _, test := range []struct {
		name string
		end  bool
	}{{"goes on", false}, {"ends", true}} {
		t.Run(test.name, func(t *testing.T) {
			addr := refused(t)
			c := connect(t, forward(t, &Proxy{DialRetry: testkit.Patience}, addr).Addr())
			for _, piece := range []struct {
				text  string
				flags int
			}{{"before ", 0}, {"!", unix.MSG_OOB}, {"behind", 0}} {
				onSocket(t, c, func(fd int) error { return unix.Sendto(fd, []byte(piece.text), piece.flags, nil) })
			}
			if test.end {
				c.CloseWrite()
			}
			l, err := net.Listen("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			s, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			s.SetDeadline(time.Now().Add(testkit.Patience))
			got := make([]byte, len("before behind"))
			if _, err := io.ReadFull(s, got); err != nil || string(got) != "before behind" {
				t.Errorf("got %q, %v", got, err)
			}
			if test.end {
				if rest, err := io.ReadAll(s); len(rest) > 0 || err != nil {
					t.Errorf("then %q, %v, want the end", rest, err)
				}
			}
		})
	}
}

// TestUrgentDataInBulk has it in a stream that is spliced.
func TestUrgentDataInBulk(t *testing.T) {
	const pieces = 40
	piece := bytes.Repeat([]byte("0123456789abcdef"), 16<<10)
	sum := sha256.New()
	addr := server(t, func(c *net.TCPConn) {
		for i := range pieces {
			c.Write(piece)
			if i == pieces/2 {
				onSocket(t, c, func(fd int) error { return unix.Sendto(fd, []byte("!"), unix.MSG_OOB, nil) })
			}
		}
	})
	c := connect(t, forward(t, &Proxy{}, addr).Addr())
	n, err := io.Copy(sum, c)
	want := sha256.New()
	for range pieces {
		want.Write(piece)
	}
	if err != nil || !bytes.Equal(sum.Sum(nil), want.Sum(nil)) {
		t.Errorf("%d bytes of %d, or others; %v", n, pieces*len(piece), err)
	}
}

// TestEndTravelsWithLastBytes counts the packets that a client gets of an answer
// that came together with its end.
func TestEndTravelsWithLastBytes(t *testing.T) {
	l, addr := bareListener(t, 8)
	c := connect(t, forward(t, &Proxy{}, addr).Addr())
	io.WriteString(c, "question")
	s, _, err := unix.Accept4(l, unix.SOCK_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(s)
	if _, err := unix.Read(s, make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	// Without the end this stays where it is.
	if err := unix.Sendto(s, []byte("answer"), unix.MSG_MORE, nil); err != nil {
		t.Fatal(err)
	}
	if err := unix.Shutdown(s, unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); string(got) != "answer" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	onSocket(t, c, func(fd int) error {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		// The handshake's second, maybe an acknowledgement, the answer.
		if err == nil && (info.Segs_in > 3 || info.Data_segs_in != 1) {
			t.Errorf("%d packets, %d with data", info.Segs_in, info.Data_segs_in)
		}
		return err
	})
}

// onSocket calls f with a connection's descriptor, again while it gives EAGAIN.
func onSocket(t *testing.T, c *net.TCPConn, f func(fd int) error) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var inner error
	err = raw.Write(func(fd uintptr) bool {
		inner = f(int(fd))
		return inner != unix.EAGAIN
	})
	if err != nil || inner != nil {
		t.Fatal(err, inner)
	}
}

// acknowledged waits until the peer's kernel has all that was written.
func acknowledged(t *testing.T, c *net.TCPConn) {
	t.Helper()
	testkit.Until(t, func() (complaint string) {
		onSocket(t, c, func(fd int) error {
			if n := unsent(int32(fd)); n > 0 {
				complaint = fmt.Sprintf("%d bytes are on their way", n)
			}
			return nil
		})
		return complaint
	})
}

// TestEndThenReset has a server that ends in order and resets the connection when
// the proxy has all, while the client has not begun to read.
func TestEndThenReset(t *testing.T) {
	const size = 1 << 20
	reset := make(chan struct{})
	addr := server(t, func(c *net.TCPConn) {
		defer close(reset)
		c.Write(make([]byte, size))
		c.CloseWrite()
		acknowledged(t, c)
		c.SetLinger(0)
	})
	c := connect(t, forward(t, &Proxy{}, addr).Addr())
	<-reset
	if n, err := io.Copy(io.Discard, c); n != size || err != nil {
		t.Errorf("%d bytes of %d, %v", n, size, err)
	}
}

// TestEndThenResetByClient is the other direction: what the proxy has taken from a
// client reaches the endpoint with its end, and then the endpoint learns that
// nobody is there. It reads late, and some of them write meanwhile, to a client
// that takes none of it.
func TestEndThenResetByClient(t *testing.T) {
	for _, test := range []struct {
		name  string
		size  int
		write int
		late  bool // the endpoint is not even reached before
	}{
		{"small", 100, 0, false},
		{"large", 1 << 20, 0, false},
		{"small, answered", 100, 1 << 10, false},
		{"large, answered", 1 << 20, 32 << 20, false},
		{"before there is an endpoint", 3 << 10, 0, true},
		{"before there is an endpoint, answered", 3 << 10, 1 << 20, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			gone := make(chan struct{})
			got := make(chan string, 1)
			serve := func(c *net.TCPConn) {
				<-gone
				c.SetDeadline(time.Now().Add(testkit.Patience))
				c.Write(make([]byte, test.write))
				n, err := io.Copy(io.Discard, c)
				if err == nil { // and a reset afterwards
					for err == nil {
						_, err = c.Write([]byte("x"))
						time.Sleep(time.Millisecond)
					}
					if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
						err = nil
					}
				}
				got <- fmt.Sprint(n, " bytes, ", err)
			}
			var j journal
			p := &Proxy{DialRetry: testkit.Patience}
			j.attach(p)
			addr := refused(t)
			if !test.late {
				addr = server(t, serve)
			}
			c := connect(t, forward(t, p, addr).Addr())
			c.Write(make([]byte, test.size))
			c.CloseWrite()
			acknowledged(t, c)
			c.SetLinger(0)
			c.Close()
			if test.late {
				l, err := net.Listen("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				l.(*net.TCPListener).SetDeadline(time.Now().Add(testkit.Patience))
				s, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				go serve(s.(*net.TCPConn))
			}
			close(gone)
			if got, want := <-got, fmt.Sprint(test.size, " bytes, <nil>"); got != want {
				t.Errorf("the endpoint got %s, want %s", got, want)
			}
			e := j.ended(t, 1)[0]
			if !errors.Is(e.Err, unix.ECONNRESET) && !errors.Is(e.Err, unix.EPIPE) || e.In != int64(test.size) {
				t.Errorf("event: %+v", e)
			}
		})
	}
}
