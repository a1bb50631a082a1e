package sklookup

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var within = netip.MustParsePrefix("127.96.0.0/16")

// space is a network namespace with a thread in it that does what it is told.
type space struct {
	netns *os.File
	work  chan func()
}

func newSpace(t *testing.T) *space {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	s := &space{work: make(chan func())}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // and ends with the goroutine
		made <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return err
			}
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			lo, err := unix.NewIfreq("lo")
			if err != nil {
				return err
			}
			lo.SetUint16(unix.IFF_UP)
			if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
				return err
			}
			s.netns, err = os.Open("/proc/thread-self/ns/net")
			return err
		}()
		for f := range s.work {
			f()
		}
	}()
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		close(s.work)
		s.netns.Close()
	})
	return s
}

func (s *space) do(f func()) {
	done := make(chan bool)
	s.work <- func() { f(); close(done) }
	<-done
}

// listen makes a listener that says its name to everybody.
func (s *space) listen(t *testing.T, addr, name string) *net.TCPListener {
	t.Helper()
	return s.listenBy(t, "tcp4", addr, name)
}

func (s *space) listenBy(t *testing.T, network, addr, name string) *net.TCPListener {
	t.Helper()
	var l net.Listener
	var err error
	s.do(func() {
		var c net.ListenConfig
		c.SetMultipathTCP(false)
		l, err = c.Listen(context.Background(), network, addr)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, name+" "+c.LocalAddr().String())
			c.Close()
		}
	}()
	return l.(*net.TCPListener)
}

// get is what is said at an address, or the error.
func (s *space) get(addr string) (answer string) {
	s.do(func() {
		c, err := net.DialTimeout("tcp", addr, 5*time.Second)
		if err != nil {
			answer = err.Error()
			return
		}
		defer c.Close()
		text, _ := io.ReadAll(c)
		answer = string(text)
	})
	return answer
}

func (s *space) wants(t *testing.T, addr, want string) {
	t.Helper()
	if got := s.get(addr); !strings.Contains(got, want) {
		t.Errorf("%s: %q, want %q", addr, got, want)
	}
}

func TestLead(t *testing.T) {
	s := newSpace(t)
	s.listen(t, "0.0.0.0:80", "app")
	table, err := Open(s.netns, within, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	web := netip.MustParseAddrPort("127.96.1.1:80")
	service := s.listen(t, "127.96.1.1:0", "service")
	for _, addr := range []netip.AddrPort{web, netip.MustParseAddrPort("127.96.1.2:6379")} {
		if err := table.Lead(TCP, addr, service); err != nil {
			t.Fatal(err)
		}
	}
	s.wants(t, "127.0.0.1:80", "app 127.0.0.1:80")
	s.wants(t, "127.97.1.1:80", "app 127.97.1.1:80")
	s.wants(t, "127.96.1.1:80", "service 127.96.1.1:80")
	s.wants(t, "127.96.1.2:6379", "service 127.96.1.2:6379")
	s.wants(t, "127.96.1.1:81", "refused")
	s.wants(t, "127.96.1.3:80", "refused")
	s.wants(t, service.Addr().String(), "refused") // only what the table says

	// Another service in the place of the first, and then none.
	other := s.listen(t, "127.96.1.1:0", "other")
	if err := table.Lead(TCP, web, other); err != nil {
		t.Fatal(err)
	}
	s.wants(t, "127.96.1.1:80", "other")
	other.Close()
	s.wants(t, "127.96.1.1:80", "refused")
	if err := table.Drop(TCP, netip.MustParseAddrPort("127.96.1.2:6379")); err != nil {
		t.Fatal(err)
	}
	s.wants(t, "127.96.1.2:6379", "refused")
	if err := errors.Join(table.Drop(TCP, web), table.Drop(TCP, web)); err != nil {
		t.Errorf("dropped twice: %v", err)
	}
	table.Close()
	s.wants(t, "127.96.1.3:80", "app")
}

// One address of the range may be nobody's business.
func TestLeadBut(t *testing.T) {
	s := newSpace(t)
	s.listen(t, "0.0.0.0:80", "app")
	table, err := Open(s.netns, within, netip.MustParseAddr("127.96.200.201"))
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	s.wants(t, "127.96.200.201:80", "app 127.96.200.201:80")
	s.wants(t, "127.96.200.202:80", "refused")
	s.wants(t, "127.96.201.201:80", "refused")
}

// Several processes lead connections of one namespace, the host's.
func TestTwoTables(t *testing.T) {
	s := newSpace(t)
	for i, name := range []string{"one", "two"} {
		table, err := Open(s.netns, within, netip.Addr{})
		if err != nil {
			t.Fatal(err)
		}
		defer table.Close()
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 96, 0, byte(i + 1)}), 80)
		if err := table.Lead(TCP, addr, s.listen(t, "127.96.0.1:0", name)); err != nil {
			t.Fatal(err)
		}
	}
	s.wants(t, "127.96.0.1:80", "one")
	s.wants(t, "127.96.0.2:80", "two")
	s.wants(t, "127.96.0.3:80", "refused")
}

func TestUDP(t *testing.T) {
	s := newSpace(t)
	table, err := Open(s.netns, within, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	var server net.PacketConn
	var client net.Conn
	s.do(func() {
		if server, err = net.ListenPacket("udp4", "127.96.0.10:0"); err == nil {
			client, err = net.Dial("udp4", "127.96.0.10:53")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	defer client.Close()
	if err := table.Lead(UDP, netip.MustParseAddrPort("127.96.0.10:53"), server.(*net.UDPConn)); err != nil {
		t.Fatal(err)
	}
	client.Write([]byte("question"))
	buffer := make([]byte, 100)
	server.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, from, err := server.ReadFrom(buffer)
	if err != nil || string(buffer[:n]) != "question" || from.String() != client.LocalAddr().String() {
		t.Errorf("%q from %v, %v", buffer[:n], from, err)
	}
}

func TestRefusals(t *testing.T) {
	s := newSpace(t)
	if _, err := Open(s.netns, netip.MustParsePrefix("fd00::/64"), netip.MustParseAddr("127.96.0.1")); err == nil {
		t.Error("an address that is not of the range")
	}
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := Open(file, within, netip.Addr{}); err == nil {
		t.Error("a file that is no namespace")
	}
}

func BenchmarkOpen(b *testing.B) {
	file, err := os.Open("/proc/self/ns/net")
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	for b.Loop() {
		t, err := Open(file, within, netip.Addr{})
		if err != nil {
			b.Skip(err)
		}
		t.Close()
	}
}

// The tables of a namespace do not refuse what others lead, and those of IPv6 look at
// all of an address.
func TestIPv6(t *testing.T) {
	s := newSpace(t)
	for _, text := range []string{"::1/128", "::2/127", "127.96.0.0/16"} {
		p := netip.MustParsePrefix(text)
		table, err := Open(s.netns, p, netip.Addr{})
		if err != nil {
			t.Fatal(err)
		}
		defer table.Close()
		if !p.Contains(netip.IPv6Loopback()) {
			continue
		}
		if err := table.Lead(TCP, netip.MustParseAddrPort("[::1]:80"), s.listenBy(t, "tcp6", "[::1]:0", "service")); err != nil {
			t.Fatal(err)
		}
	}
	s.wants(t, "[::1]:80", "service [::1]:80")
	s.wants(t, "[::1]:81", "refused")
}
