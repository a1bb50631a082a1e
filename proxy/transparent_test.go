package proxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/netlink"
)

// netns is a network namespace in which functions can be run.
type netns struct {
	t    testing.TB
	work chan func()
	quit chan struct{} // closed when the test ends
	done chan struct{} // closed when the thread has ended
}

// newNetns makes a network namespace with lo that ends with the test. It needs
// root.
func newNetns(t testing.TB) *netns {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("makes a network namespace: needs root")
	}
	n := &netns{t, make(chan func()), make(chan struct{}), make(chan struct{})}
	ready := make(chan error)
	go n.run(ready)
	err := <-ready
	t.Cleanup(func() { close(n.quit); <-n.done })
	if err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	n.do(loopbackUp)
	return n
}

// run leaves its thread locked, so that it ends with the goroutine. The main
// thread would not: it is kept busy until another one is locked.
func (n *netns) run(ready chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		defer runtime.UnlockOSThread()
		elsewhere := make(chan error)
		go n.run(elsewhere)
		ready <- <-elsewhere
		return
	}
	defer close(n.done)
	ready <- unix.Unshare(unix.CLONE_NEWNET)
	for {
		select {
		case f := <-n.work:
			f()
		case <-n.quit:
			return
		}
	}
}

// do runs f inside and wants it to succeed.
func (n *netns) do(f func() error) {
	n.t.Helper()
	if err := n.try(f); err != nil {
		n.t.Fatalf("in the namespace: %v", err)
	}
}

func (n *netns) try(f func() error) error {
	err := make(chan error, 1)
	select {
	case n.work <- func() { err <- f() }:
		return <-err
	case <-n.quit:
		return os.ErrClosed
	}
}

// sockets makes those of the namespace.
func (n *netns) sockets() *Sockets {
	s := &Sockets{Make: func(domain, typ, count int) (fds []int, err error) {
		err = n.try(func() (err error) { fds, err = makeSockets(domain, typ, count); return err })
		return fds, err
	}}
	n.t.Cleanup(func() { s.Close() })
	return s
}

func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo)
}

// replyRoutes is what CheckTransparent says that a pod needs, in netlink's words.
func replyRoutes() error {
	const table = 127
	for _, family := range []struct {
		number byte
		from   netip.Prefix
	}{{unix.AF_INET, netip.MustParsePrefix("127.0.0.0/8")}, {unix.AF_INET6, netip.MustParsePrefix("::1/128")}} {
		// struct fib_rule_hdr: family, lengths of the prefixes, tos, table,
		// two reserved, action, flags.
		rule := []byte{family.number, 0, byte(family.from.Bits()), 0, table, 0, 0, unix.FR_ACT_TO_TBL, 0, 0, 0, 0}
		// struct rtmsg: family, lengths, tos, table, protocol, scope, type,
		// flags.
		route := []byte{family.number, 0, 0, 0, table, unix.RTPROT_STATIC, unix.RT_SCOPE_HOST, unix.RTN_LOCAL, 0, 0, 0, 0}
		if err := request(
			netlink.New(unix.RTM_NEWRULE, added, rule).Attr(unix.FRA_SRC, family.from.Addr().AsSlice()),
			netlink.New(unix.RTM_NEWROUTE, added, route).Uint32(unix.RTA_OIF, loopbackIndex),
		); err != nil {
			return err
		}
	}
	return nil
}

const (
	added         = unix.NLM_F_CREATE | unix.NLM_F_EXCL
	loopbackIndex = 1
)

// addLoopbackAddr gives lo one more address.
func addLoopbackAddr(p netip.Prefix) error {
	// struct ifaddrmsg: family, length, flags, scope, index.
	body := binary.NativeEndian.AppendUint32([]byte{unix.AF_INET, byte(p.Bits()), 0, unix.RT_SCOPE_HOST}, loopbackIndex)
	return request(netlink.New(unix.RTM_NEWADDR, added, body).Attr(unix.IFA_LOCAL, p.Addr().AsSlice()))
}

func request(list ...*netlink.Message) error {
	c, err := netlink.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Do(list...)
}

// transparentConn connects to a listener of the namespace with the client's
// address, and returns what the listener sees within a while.
func transparentConn(t *testing.T, n *netns, client netip.AddrPort, listen string, wait time.Duration) (string, error) {
	t.Helper()
	var l net.Listener
	n.do(func() (err error) { l, err = net.Listen("tcp", listen); return err })
	defer l.Close()
	endpoint := l.Addr().(*net.TCPAddr).AddrPort()
	if endpoint.Addr().IsUnspecified() {
		endpoint = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), endpoint.Port())
	}
	domain := unix.AF_INET6
	if endpoint.Addr().Is4() {
		domain = unix.AF_INET
	}
	fd, err := n.sockets().get(domain, unix.SOCK_STREAM)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := bindClient(fd, client, endpoint.Addr()); err != nil {
		return "", err
	}
	if err := unix.Connect(fd, socketAddress(endpoint)); err != unix.EINPROGRESS && err != nil {
		return "", err
	}
	l.(*net.TCPListener).SetDeadline(time.Now().Add(wait))
	c, err := l.Accept()
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := io.WriteString(c, "hello"); err != nil {
		t.Fatal(err)
	}
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	buf := make([]byte, 10)
	if _, err := unix.Poll(p, 5000); err != nil {
		t.Fatal(err)
	}
	if k, err := unix.Read(fd, buf); err != nil || string(buf[:k]) != "hello" {
		t.Errorf("read %q, %v, want what the listener sent", buf[:max(k, 0)], err)
	}
	return c.RemoteAddr().String(), nil
}

func TestTransparent(t *testing.T) {
	n := newNetns(t)
	local := []struct{ client, listen string }{
		{"127.3.2.1:4321", "127.0.0.1:0"},
		{"127.3.2.1:4321", "0.0.0.0:0"},
		{"[::1]:4321", "[::1]:0"},
	}
	foreign := []struct{ client, listen string }{
		{"10.1.2.3:4321", "127.0.0.1:0"},
		{"10.1.2.3:4321", "0.0.0.0:0"},
		{"[::ffff:10.1.2.3]:4321", "127.0.0.1:0"},
		{"[2001:db8::5]:4321", "[::1]:0"},
	}
	for _, test := range local {
		wantClient(t, n, test.client, test.listen)
	}
	for _, test := range foreign {
		if got, err := transparentConn(t, n, netip.MustParseAddrPort(test.client), test.listen, 200*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s to %s without routes: seen as %q, %v; want no connection", test.client, test.listen, got, err)
		}
	}
	n.do(replyRoutes)
	for _, test := range append(local, foreign...) {
		wantClient(t, n, test.client, test.listen)
	}

	// Who connects to the outside is not led back.
	n.do(func() error {
		if c, err := net.Dial("tcp", "10.1.2.3:1"); !errors.Is(err, unix.ENETUNREACH) {
			return fmt.Errorf("connect to another machine: %v, %v, want %v", c, err, unix.ENETUNREACH)
		}
		return nil
	})
}

func wantClient(t *testing.T, n *netns, client, listen string) {
	t.Helper()
	addr := netip.MustParseAddrPort(client)
	want := netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	if got, err := transparentConn(t, n, addr, listen, answerTime); err != nil || got != want.String() {
		t.Errorf("%s to %s: seen as %q, %v", client, listen, got, err)
	}
	// With any port.
	got, err := transparentConn(t, n, netip.AddrPortFrom(addr.Addr(), 0), listen, answerTime)
	if seen, _ := netip.ParseAddrPort(got); err != nil || seen.Addr() != want.Addr() || seen.Port() == 0 {
		t.Errorf("%s to %s, any port: seen as %q, %v", client, listen, got, err)
	}
}

func TestTransparentRefusesOtherFamily(t *testing.T) {
	err := bindClient(-1, netip.MustParseAddrPort("10.1.2.3:1"), netip.MustParseAddr("::1"))
	if err == nil {
		t.Error("an IPv4 client's address for an IPv6 endpoint is taken")
	}
}

func TestCheckTransparent(t *testing.T) {
	n := newNetns(t)
	s := n.sockets()
	ends := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.96.0.7"), netip.MustParseAddr("::1")}
	for _, end := range ends {
		if err := CheckTransparent(s, end); !errors.Is(err, unix.ENETUNREACH) {
			t.Errorf("%s without routes: %v, want %v", end, err, unix.ENETUNREACH)
		} else {
			t.Log(err)
		}
	}
	n.do(replyRoutes)
	for _, end := range ends {
		if err := CheckTransparent(s, end); err != nil {
			t.Errorf("%s with routes: %v", end, err)
		}
	}
	if err := CheckTransparent(s, nobody4); !errors.Is(err, ErrAddress) {
		t.Errorf("an endpoint elsewhere: %v, want %v", err, ErrAddress)
	}
}

// TestTransparentWithoutPrivilege sets the options on a thread without
// capabilities, whose namespace has the routes.
func TestTransparentWithoutPrivilege(t *testing.T) {
	n := newNetns(t)
	n.do(replyRoutes)
	n.do(func() error { return addLoopbackAddr(netip.MustParsePrefix("10.9.8.7/32")) })
	n.do(func() error {
		// Of this thread alone, which ends with the test.
		hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		return unix.Capset(&hdr, &none[0])
	})
	n.do(func() error {
		err := CheckTransparent(nil, netip.MustParseAddr("127.0.0.1"))
		if !errors.Is(err, unix.EPERM) {
			return fmt.Errorf("IPv4: %v, want %v", err, unix.EPERM)
		}
		t.Log(err)
		if err := CheckTransparent(nil, netip.MustParseAddr("::1")); err != nil {
			return fmt.Errorf("IPv6 needs no privilege: %v", err)
		}
		return nil
	})
	// Nor does an address that the namespace has.
	wantClient(t, n, "10.9.8.7:4321", "127.0.0.1:0")
}
