package networks

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/netlink"
	"github.com/peapod/peapod/namespaces"
)

// needsKernel skips a test on a kernel without bridges, veth or nf_tables; one
// that tests are expected to run on has them.
func needsKernel(t testing.TB) {
	t.Helper()
	a, err := Attach(t.Context(), options(t, "probe", newPod(t)))
	if err == nil {
		if err := a.Detach(t.Context()); err != nil {
			t.Fatal(err)
		}
		return
	}
	if errors.Is(err, ErrUnsupported) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	t.Fatal(err)
}

// newPod makes a network namespace as pods have it.
func newPod(t testing.TB) *os.File {
	t.Helper()
	set, err := namespaces.Options{Loopback: true}.New(namespaces.Network)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { set.Close() })
	return set.File(namespaces.Network)
}

func options(t testing.TB, pod string, netns *os.File) Options {
	return optionsIn(t.TempDir(), pod, netns)
}

func optionsIn(dir, pod string, netns *os.File) Options {
	return Options{
		Network: Spec{Mode: Bridge, Name: DefaultBridge}, Pod: pod, Netns: netns,
		StateDir: dir, Do: namespaces.Do,
	}
}

// attach attaches a pod, which is detached at the test's end.
func attach(t testing.TB, o Options) *Attachment {
	t.Helper()
	a, err := Attach(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Detach(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return a
}

// left lists the files of a state directory but for the lock and the numbers
// leased last.
func left(t testing.TB, dir string) (list []string) {
	t.Helper()
	for _, pattern := range []string{"pods/*", "leases/*", "netns/*"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, found...)
	}
	return list
}

// hostLinks names the host's links.
func hostLinks(t testing.TB) []string {
	t.Helper()
	c, err := netlink.Open(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	list, err := listNames(c)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// serve answers connections in the namespace with the peer's address, until the
// test ends, and returns the port.
func serve(t testing.TB, netns *os.File, addr netip.Addr) netip.AddrPort {
	t.Helper()
	l, err := namespaces.Listen(t.Context(), netns, netip.AddrPortFrom(addr, 0))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			peer, _ := netip.ParseAddrPort(c.RemoteAddr().String())
			io.WriteString(c, peer.Addr().Unmap().String())
			c.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	_, port, _ := splitPort(l.Addr().String())
	return netip.AddrPortFrom(addr, port)
}

func splitPort(s string) (netip.Addr, uint16, error) {
	p, err := netip.ParseAddrPort(s)
	return p.Addr(), p.Port(), err
}

// call connects from within a namespace and returns which address the other
// side saw.
func call(t testing.TB, netns *os.File, to netip.AddrPort, within time.Duration) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	c, err := namespaces.Dial(ctx, netns, "tcp", to)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(within))
	seen, err := io.ReadAll(c)
	return string(seen), err
}

// outside is a namespace beyond the host, to which the host has a link and its
// default route.
type outside struct {
	netns      *os.File
	v4, v6     netip.Addr // its own
	host4, ho6 netip.Addr // the host's
}

// newOutside connects the outside to the host.
func newOutside(t testing.TB) *outside {
	t.Helper()
	w := &outside{
		netns: newPod(t),
		v4:    netip.MustParseAddr("203.0.113.1"), v6: netip.MustParseAddr("2001:db8::1"),
		host4: netip.MustParseAddr("203.0.113.2"), ho6: netip.MustParseAddr("2001:db8::2"),
	}
	host, err := netlink.Open(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	if err := host.Do((&pair{"up0", randomHardware(), link{mtu: 1400}, w.netns, hardware(w.v4)}).add()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c, err := netlink.Open(unix.NETLINK_ROUTE)
		if err == nil {
			err = deleteLink(c, "up0", isPair)
			c.Close()
		}
		if err != nil {
			t.Error(err)
		}
	})
	var far *netlink.Conn
	err = namespaces.Do(w.netns, func() (err error) {
		far, err = netlink.Open(unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	furnish(t, far, inside, w.v4, w.v6)
	index := furnish(t, host, "up0", w.host4, w.ho6)
	if err := host.Do(addRoute(index, w.v4), addRoute(index, w.v6)); err != nil {
		t.Fatal(err)
	}
	return w
}

// furnish gives a link addresses in subnets of the usual lengths.
func furnish(t testing.TB, c *netlink.Conn, name string, v4, v6 netip.Addr) (index int) {
	t.Helper()
	l, err := findLink(c, linkNamed(name))
	if err == nil {
		err = c.Do(setUp(l.index), addAddress(l.index, netip.PrefixFrom(v4, 24)), addAddress(l.index, netip.PrefixFrom(v6, 64)))
	}
	if err != nil {
		t.Fatal(err)
	}
	return l.index
}

func hostConn(t testing.TB) *netlink.Conn {
	t.Helper()
	c, err := netlink.Open(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
