package networks

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/netlink"
	"github.com/peapod/peapod/namespaces"
)

// localRoutes are the ranges that peapod has made local on the host.
func localRoutes(t *testing.T) (list []string) {
	t.Helper()
	c := hostConn(t)
	defer c.Close()
	routes, err := listRoutes(c, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes {
		if r.protocol == localProtocol {
			list = append(list, r.to.String())
		}
	}
	slices.Sort(list)
	return list
}

func holdLocal(t *testing.T, p netip.Prefix) *LocalRange {
	t.Helper()
	c := hostConn(t)
	defer c.Close()
	if err := c.Do(setUp(loopback)); err != nil {
		t.Fatal(err)
	}
	l, err := HoldLocal(p)
	if errors.Is(err, unix.EACCES) && os.Getenv("CI") != "true" {
		t.Skip("needs the host's root: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func hasLocal(t *testing.T, when string, want ...string) {
	t.Helper()
	if got := localRoutes(t); !slices.Equal(got, want) {
		t.Errorf("%s: %v are local, want %v", when, got, want)
	}
}

func release(t *testing.T, l *LocalRange) {
	t.Helper()
	if err := l.Release(); err != nil {
		t.Error(err)
	}
}

// A range is local until the last of those has left who hold it.
func TestHoldLocal(t *testing.T) {
	for _, text := range []string{"10.96.0.0/16", "fd00:96::/112"} {
		p := netip.MustParsePrefix(text)
		one := holdLocal(t, p)
		two := holdLocal(t, p)
		hasLocal(t, "two hold it", text)
		release(t, one)
		hasLocal(t, "one holds it", text)
		if err := SweepLocal(); err != nil {
			t.Error(err)
		}
		hasLocal(t, "another one sweeps", text)
		release(t, two)
		hasLocal(t, "nobody holds it")
		if _, err := os.Stat(two.file.Name()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", two.file.Name(), err)
		}
	}
}

// What a killed process has left others take over, or clear away.
func TestLocalOfKilled(t *testing.T) {
	p := netip.MustParsePrefix("10.96.0.0/16")
	killed := holdLocal(t, p)
	killed.file.Close() // as the kernel does
	next := holdLocal(t, p)
	next.file.Close()
	hasLocal(t, "its holder is dead", p.String())
	if err := SweepLocal(); err != nil {
		t.Error(err)
	}
	hasLocal(t, "swept")
}

// Addresses that the host has in use are nobody else's.
func TestLocalClash(t *testing.T) {
	c := hostConn(t)
	defer c.Close()
	l := holdLocal(t, netip.MustParsePrefix("10.97.0.0/16"))
	defer release(t, l)
	mine := addAddress(loopback, netip.MustParsePrefix("10.96.3.1/24"))
	if err := c.Do(mine); err != nil {
		t.Fatal(err)
	}
	defer removeAddress(t, c, netip.MustParsePrefix("10.96.3.1/24"))
	if _, err := HoldLocal(netip.MustParsePrefix("10.96.0.0/16")); !errors.Is(err, ErrClash) {
		t.Errorf("a range with an address of the host: %v", err)
	}
	if _, err := HoldLocal(netip.MustParsePrefix("10.96.0.0/12")); !errors.Is(err, ErrClash) {
		t.Errorf("a range around another one: %v", err)
	}
}

func removeAddress(t *testing.T, c *netlink.Conn, p netip.Prefix) {
	t.Helper()
	b := make([]byte, unix.SizeofIfAddrmsg)
	b[0], b[1], b[4] = unix.AF_INET, byte(p.Bits()), loopback
	if err := c.Do(netlink.New(unix.RTM_DELADDR, 0, b).Attr(unix.IFA_LOCAL, p.Addr().AsSlice())); err != nil {
		t.Error(err)
	}
}

func TestAddLocal(t *testing.T) {
	netns := newPod(t)
	for _, text := range []string{"10.96.0.0/16", "fd00:96::/112"} {
		p := netip.MustParsePrefix(text)
		for range 2 {
			if err := AddLocal(netns, p, namespaces.Do); err != nil {
				t.Fatal(err)
			}
		}
	}
	at := serve(t, netns, netip.MustParseAddr("10.96.255.7"))
	if got, err := call(t, netns, at, 10*time.Second); err != nil || got != "127.0.0.1" {
		t.Errorf("%q, %v", got, err)
	}
	err := namespaces.Do(netns, func() error { return os.WriteFile("/proc/sys/net/ipv6/conf/lo/disable_ipv6", []byte("1"), 0) })
	if err != nil {
		t.Fatal(err)
	}
	if err := AddLocal(netns, netip.MustParsePrefix("fd00:97::/112"), namespaces.Do); !errors.Is(err, ErrUnsupported) {
		t.Errorf("without IPv6: %v", err)
	}
}
