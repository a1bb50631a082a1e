package integration

import (
	wire "encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/netlink"
	"github.com/peapod/peapod/internal/testkit"
	"github.com/peapod/peapod/namespaces"
)

// plot is a network namespace with settings of its own, for tests that use up
// what there is.
type plot struct {
	t  testing.TB
	ns *os.File
}

func newPlot(t testing.TB, settings map[string]string) *plot {
	t.Helper()
	testkit.NeedRoot(t)
	set, err := namespaces.Options{Loopback: true}.New(namespaces.Network)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { set.Close() })
	p := &plot{t, set.File(namespaces.Network)}
	for name, value := range settings {
		p.set(name, value)
	}
	return p
}

func (p *plot) do(f func() error) {
	p.t.Helper()
	if err := namespaces.Do(p.ns, f); err != nil {
		p.t.Fatal(err)
	}
}

// set changes a setting below net.ipv4, of the namespace of who opens the file.
func (p *plot) set(name, value string) {
	p.t.Helper()
	p.do(func() error { return os.WriteFile(filepath.Join("/proc/sys/net/ipv4", name), []byte(value), 0) })
}

// greeter listens at a port that is not one of those for clients.
func (p *plot) greeter(name string, port uint16) string {
	p.t.Helper()
	l, err := namespaces.Listen(p.t.Context(), p.ns, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port))
	if err != nil {
		p.t.Fatal(err)
	}
	return greeter(p.t, l, name)
}

func (p *plot) startProxy(args ...string) (proxy *proxyProcess) {
	p.t.Helper()
	p.do(func() error {
		proxy = startProxy(p.t, args...)
		return nil
	})
	return proxy
}

// guest connects from an address and port of its own: those that the kernel
// chooses are the proxy's.
func (p *plot) guest(addr string, n int) net.Conn {
	p.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2), Port: 2000 + n}, Timeout: testkit.Patience}
	var c net.Conn
	p.do(func() (err error) {
		c, err = d.DialContext(p.t.Context(), "tcp", addr)
		return err
	})
	p.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(testkit.Patience))
	return c
}

// greeted reports who has greeted, "" for nobody by now.
func greeted(t testing.TB, c net.Conn, within time.Duration) string {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(within))
	defer c.SetReadDeadline(time.Now().Add(testkit.Patience))
	var name []byte
	for b := make([]byte, 1); ; name = append(name, b[0]) {
		_, err := c.Read(b)
		if os.IsTimeout(err) && len(name) == 0 {
			return ""
		}
		if err != nil {
			t.Fatalf("%v after %q", err, name)
		}
		if b[0] == '\n' {
			return string(name)
		}
	}
}

// leave ends a connection by a reset: its ports are free at once.
func leave(c net.Conn) {
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

// counter is one of TcpExt, of the namespace.
func (p *plot) counter(name string) (n int) {
	p.t.Helper()
	var text []byte
	p.do(func() (err error) {
		text, err = os.ReadFile("/proc/thread-self/net/netstat")
		return err
	})
	lines := strings.Split(string(text), "\n") // names, then numbers
	for i, field := range strings.Fields(lines[0]) {
		if field == name {
			fmt.Sscan(strings.Fields(lines[1])[i], &n)
			return n
		}
	}
	p.t.Fatalf("no %s in %q", name, text)
	return 0
}

// processorTime is what a process has had, in hundredths of a second.
func processorTime(t testing.TB, pid int) (ticks int) {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	var user, system int
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	fmt.Sscan(fields[11]+" "+fields[12], &user, &system)
	return user + system
}

// wantsRest fails if the proxy does more than a little for a while.
func (p *proxyProcess) wantsRest() {
	p.t.Helper()
	before := processorTime(p.t, p.cmd.Process.Pid)
	time.Sleep(500 * time.Millisecond)
	if n := processorTime(p.t, p.cmd.Process.Pid) - before; n > 15 {
		p.t.Errorf("it took %d0 ms of processor time in half a second", n)
	}
}

// Where all ports for one backend are in use, clients go to another one, and wait
// where there is none.
func TestProxyOutOfPorts(t *testing.T) {
	const ports = 20
	plot := newPlot(t, map[string]string{"ip_local_port_range": "40000 40019"})
	one, two := plot.greeter("one", 81), plot.greeter("two", 82)
	p := plot.startProxy("--listen", "127.0.0.1:8000", "--backend", one, "--backend", two+",weight=3", "--balance", "round-robin")
	addr := p.address()
	var guests []net.Conn
	got := map[string]int{}
	for i := range 2 * ports {
		guests = append(guests, plot.guest(addr, i))
		got[greeted(t, guests[i], testkit.Patience)]++
	}
	if got["one"] != ports || got["two"] != ports {
		t.Errorf("%d ports for each of two backends: %v", ports, got)
	}
	var waiting []net.Conn
	for i := range 10 {
		waiting = append(waiting, plot.guest(addr, 100+i))
	}
	line := p.line("no connection can be made from here")
	if !strings.Contains(line, "ip_local_port_range") {
		t.Errorf("it says %q", line)
	}
	p.wantsRest()
	for _, c := range waiting {
		if name := greeted(t, c, time.Millisecond); name != "" {
			t.Fatalf("greeted by %s without a port", name)
		}
	}
	for _, c := range guests[:len(waiting)] {
		leave(c)
	}
	for _, c := range waiting {
		if name := greeted(t, c, testkit.Patience); name == "" {
			t.Error("it waits, although there are ports again")
		}
	}
	if n := strings.Count(p.seen.String(), "no connection can be made from here"); n > 5 {
		t.Errorf("it says so %d times more", n)
	}
}

// A proxy with few descriptors takes no more clients than it can serve, rests
// meanwhile, and goes on when there are some again.
func TestProxyOutOfDescriptors(t *testing.T) {
	p := startProxy(t, "--listen", "127.0.0.1:0", "--backend", greeter(t, localListener(t), "one"))
	addr := p.address()
	if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 60, Max: 60}, nil); err != nil {
		t.Fatal(err)
	}
	var served, waiting []net.Conn
	for range 60 {
		c := dial(t, addr)
		if name := greeted(t, c, 100*time.Millisecond); name != "" {
			served = append(served, c)
		} else if waiting = append(waiting, c); len(waiting) == 10 {
			break
		}
	}
	if len(served) < 10 || len(waiting) < 10 {
		t.Fatalf("%d were served, %d wait", len(served), len(waiting))
	}
	p.line("too many open files")
	p.wantsRest()
	for _, c := range served {
		io.WriteString(c, "still there\n")
		wantsLine(t, c, "still there")
	}
	for _, c := range served[:10] {
		leave(c)
	}
	for _, c := range waiting {
		if name := greeted(t, c, testkit.Patience); name != "one" {
			t.Errorf("greeted by %q when there were descriptors again", name)
		}
	}
}

// A flood of SYN packets from addresses that nobody has.
func TestProxySYNFlood(t *testing.T) {
	for _, cookies := range []string{"0", "1"} {
		t.Run("syncookies "+cookies, func(t *testing.T) {
			plot := newPlot(t, map[string]string{"tcp_syncookies": cookies, "tcp_synack_retries": "0", "tcp_max_syn_backlog": "128", "../core/somaxconn": "256"})
			plot.do(routeToNowhere)
			p := plot.startProxy("--listen", "127.0.0.1:8000", "--backend", plot.greeter("one", 81))
			addr := netip.MustParseAddrPort(p.address())
			c := plot.guest(addr.String(), 0)
			greeted(t, c, testkit.Patience)
			before := processorTime(t, p.cmd.Process.Pid)
			sent := 0
			plot.do(func() (err error) {
				sent, err = flood(addr, 300*time.Millisecond, func() {
					io.WriteString(c, "through it\n")
					wantsLine(t, c, "through it")
				})
				return err
			})
			ticks := processorTime(t, p.cmd.Process.Pid) - before
			over := plot.counter(map[string]string{"0": "ListenDrops", "1": "SyncookiesSent"}[cookies])
			t.Logf("%d packets, %d over the queue, %d0 ms of the proxy", sent, over, ticks)
			if over == 0 || ticks > 15 {
				t.Errorf("%d packets were sent, %d more than the queue takes, and it took %d0 ms", sent, over, ticks)
			}
			if cookies == "1" {
				greeted(t, plot.guest(addr.String(), 1), testkit.Patience)
			}
			p.wantsRest()
			// Without cookies once those of the flood are forgotten.
			if name := greeted(t, plot.guest(addr.String(), 2), testkit.Patience); name != "one" {
				t.Errorf("greeted by %q afterwards", name)
			}
		})
	}
}

// routeToNowhere has 10.0.0.0/8 be somewhere: to clients without a route nothing
// is answered.
func routeToNowhere() error {
	c, err := netlink.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer c.Close()
	header := []byte{unix.AF_INET, 8, 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, unix.RT_SCOPE_LINK, unix.RTN_UNICAST, 0, 0, 0, 0}
	return c.Do(netlink.New(unix.RTM_NEWROUTE, unix.NLM_F_CREATE, header).
		Attr(unix.RTA_DST, []byte{10, 0, 0, 0}).Uint32(unix.RTA_OIF, 1))
}

// flood sends SYN packets to an address from others, and calls meanwhile at times.
func flood(to netip.AddrPort, how time.Duration, meanwhile func()) (sent int, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	address := &unix.SockaddrInet4{Addr: to.Addr().As4()}
	for end := time.Now().Add(how); time.Now().Before(end); sent++ {
		if sent%1000 == 0 {
			meanwhile()
		}
		if err := unix.Sendto(fd, synPacket(to), 0, address); err != nil && err != unix.ENOBUFS {
			return sent, err
		}
	}
	return sent, nil
}

// synPacket is one from 10.0.0.0/8, RFC 791 and RFC 9293. The kernel fills in the
// sum of the first header.
func synPacket(to netip.AddrPort) []byte {
	b := make([]byte, 40)
	b[0], b[3], b[8], b[9] = 0x45, 40, 64, unix.IPPROTO_TCP
	from, dst := rand.Uint32()&0xffffff|10<<24, to.Addr().As4()
	wire.BigEndian.PutUint32(b[12:], from)
	copy(b[16:20], dst[:])
	wire.BigEndian.PutUint16(b[20:], uint16(1024+rand.IntN(60000)))
	wire.BigEndian.PutUint16(b[22:], to.Port())
	wire.BigEndian.PutUint32(b[24:], rand.Uint32())
	b[32], b[33] = 5<<4, 2 // length, SYN
	wire.BigEndian.PutUint16(b[34:], 65535)
	sum := uint32(unix.IPPROTO_TCP + 20)
	for i := 12; i < 40; i += 2 {
		sum += uint32(wire.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	wire.BigEndian.PutUint16(b[36:], ^uint16(sum))
	return b
}
