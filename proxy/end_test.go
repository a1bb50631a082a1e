package proxy

import (
	"bytes"
	"crypto/sha256"
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

// TestEndThenReset has a server that ends in order and resets the connection when
// the proxy has all, while the client has not begun to read.
func TestEndThenReset(t *testing.T) {
	const size = 3 << 20
	reset := make(chan struct{})
	addr := server(t, func(c *net.TCPConn) {
		defer close(reset)
		c.Write(make([]byte, size))
		c.CloseWrite()
		testkit.Poll(func() (complaint string) {
			onSocket(t, c, func(fd int) error {
				if unsent(int32(fd)) {
					complaint = "unsent"
				}
				return nil
			})
			return complaint
		})
		c.SetLinger(0)
	})
	c := connect(t, forward(t, &Proxy{}, addr).Addr())
	<-reset
	if n, err := io.Copy(io.Discard, c); n != size || err != nil {
		t.Errorf("%d bytes of %d, %v", n, size, err)
	}
}
