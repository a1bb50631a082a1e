package networks

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/netlink"
)

// Addresses other than those of 127/8 and ::1 are nobody's until a route of the
// type local says that a whole range of them is this network namespace's own.
// Programs bind to them and connect to them as to any address of loopback; for
// those of IPv6 a socket needs IPV6_FREEBIND.

// localProtocol marks peapod's routes among those of others (rtm_protocol; ip
// route shows it as proto 112).
const localProtocol = 112

// loopback is the index of lo in every network namespace (LOOPBACK_IFINDEX).
const loopback = 1

// AddLocal makes a range of addresses local in a network namespace, for as long as
// that exists. do performs a function there, as namespaces.Do.
func AddLocal(netns *os.File, p netip.Prefix, do func(*os.File, func() error) error) error {
	return do(netns, func() error {
		c, err := netlink.Open(unix.NETLINK_ROUTE)
		if err != nil {
			return fail("speak to", "the pod's network namespace", err)
		}
		defer c.Close()
		return addLocal(c, p)
	})
}

func addLocal(c *netlink.Conn, p netip.Prefix) error {
	err := c.Do(localRoute(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, p))
	switch {
	case errors.Is(err, unix.EEXIST):
		return nil
	case err != nil && p.Addr().Is6() && readSysctl("ipv6/conf/lo/disable_ipv6") != "0":
		err = &unsupported{"IPv6 is switched off in this network namespace (sysctl net.ipv6.conf.lo.disable_ipv6)", unix.EAFNOSUPPORT}
	}
	return fail("make local", "the addresses "+p.String(), err)
}

// localRoute is a message about the route. Who connects has the address that
// loopback has, as with other addresses of 127/8.
func localRoute(typ, flags uint16, p netip.Prefix) *netlink.Message {
	b := routeHeader(family(p.Addr()), p.Bits())
	b[4], b[5], b[6], b[7] = unix.RT_TABLE_LOCAL, localProtocol, unix.RT_SCOPE_HOST, unix.RTN_LOCAL
	source := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if p.Addr().Is6() {
		source = netip.IPv6Loopback()
	}
	m := netlink.New(typ, flags, b).Attr(unix.RTA_DST, p.Addr().AsSlice())
	return m.Attr(unix.RTA_PREFSRC, source.AsSlice()).Uint32(unix.RTA_OIF, loopback)
}

// LocalRange is a range of addresses that are local on the host for as long as a
// process holds it.
type LocalRange struct {
	prefix netip.Prefix
	file   *os.File
}

// localDir has a file for each range that a network namespace holds, named by the
// inode number of that and the range. Who holds it has a shared lock of the file,
// whichever state directory it works for; who can have it alone is the last.
const localDir = "/run/peapod/local"

// HoldLocal makes a range of addresses local on the host, the network namespace of
// the calling thread, until Release. The error is ErrClash where the host has them
// in use otherwise. It takes CAP_NET_ADMIN.
func HoldLocal(p netip.Prefix) (*LocalRange, error) {
	c, err := netlink.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fail("speak to", "the host's network namespace", err)
	}
	defer c.Close()
	if err := localClash(c, p); err != nil {
		return nil, fail("make local", "the addresses "+p.String(), err)
	}
	l := &LocalRange{prefix: p}
	if l.file, err = lockLocal(p, unix.LOCK_SH); err != nil {
		return nil, fail("hold", "the addresses "+p.String(), err)
	}
	if err := addLocal(c, p); err != nil {
		return nil, errors.Join(err, l.Release())
	}
	return l, nil
}

// localClash finds what else on the host has addresses of a range.
func localClash(c *netlink.Conn, p netip.Prefix) error {
	routes, err := listRoutes(c, 0)
	if err != nil {
		return err
	}
	return clash(p, slices.DeleteFunc(routes, func(r route) bool { return r.protocol == localProtocol && r.to == p }))
}

func localFile(p netip.Prefix) (string, error) {
	var s unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &s); err != nil {
		return "", err
	}
	return filepath.Join(localDir, fmt.Sprintf("%d-%s", s.Ino, strings.ReplaceAll(p.String(), "/", "_"))), nil
}

// lockLocal opens the file of a range and locks it.
func lockLocal(p netip.Prefix, how int) (*os.File, error) {
	path, err := localFile(p)
	if err == nil {
		err = os.MkdirAll(localDir, 0o700)
	}
	for err == nil {
		var f *os.File
		if f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600); err != nil {
			break
		}
		if err = flock(f, how); err == nil && isAt(f, path) {
			return f, nil
		}
		f.Close() // the last one removed it meanwhile
	}
	return nil, err
}

func isAt(f *os.File, path string) bool {
	held, err1 := f.Stat()
	there, err2 := os.Lstat(path)
	return err1 == nil && err2 == nil && os.SameFile(held, there)
}

// Release ends what HoldLocal began. The addresses are nobody's again with the last
// process that held them: who is about to connect to one learns it at once.
func (l *LocalRange) Release() error {
	defer l.file.Close()
	// Of two that leave at a time one gets the lock: each gives up its own first.
	if err := flock(l.file, unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return nil
	} else if err != nil {
		return fail("give up", "the addresses "+l.prefix.String(), err)
	}
	c, err := netlink.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return fail("speak to", "the host's network namespace", err)
	}
	defer c.Close()
	if err = removeLocal(c, l.prefix); err == nil {
		err = fail("tell clients that nobody has", "the addresses "+l.prefix.String(), abortClients(l.prefix))
	}
	return errors.Join(err, os.Remove(l.file.Name()))
}

func removeLocal(c *netlink.Conn, p netip.Prefix) error {
	err := c.Do(localRoute(unix.RTM_DELROUTE, 0, p))
	if errors.Is(err, unix.ESRCH) {
		err = nil
	}
	return fail("give up", "the addresses "+p.String(), err)
}

// SweepLocal gives up ranges on the host whose holders were killed.
func SweepLocal() error {
	if entries, err := names(localDir); err != nil || len(entries) == 0 {
		return nil // who may not look there holds none
	}
	c, err := netlink.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	routes, err := listRoutes(c, 0)
	c.Close()
	for _, r := range routes {
		if r.protocol != localProtocol {
			continue
		}
		f, failure := lockLocal(r.to, unix.LOCK_SH|unix.LOCK_NB)
		if errors.Is(failure, unix.EWOULDBLOCK) {
			continue // somebody is about to remove it
		}
		if failure == nil {
			failure = (&LocalRange{r.to, f}).Release()
		}
		err = errors.Join(err, failure)
	}
	return err
}
