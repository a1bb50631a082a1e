package pod

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"syscall"

	"github.com/peapod/peapod/internal/sklookup"
	"github.com/peapod/peapod/networks"
	"golang.org/x/sys/unix"
)

// leader leads what arrives at addresses of services to sockets that are bound to
// other ports of these, and refuses the rest: a table of BPF or, in pods where that
// is not to be had, one of nftables.
type leader interface {
	Lead(protocol int, addr netip.AddrPort, socket syscall.Conn) error
	Drop(protocol int, addr netip.AddrPort) error
	Close()
}

// openRedirect leads a range of addresses by nftables. The socket that this takes is
// made in the pod's network namespace, as all are; to whom that belongs may send on
// it from outside.
func (sp *space) openRedirect(p netip.Prefix, own netip.Addr) (leader, error) {
	if sp.host() {
		return nil, errors.New("the host's nftables are let be")
	}
	if sp.redirect == nil {
		fd, err := sp.newSocket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER)
		if err != nil {
			return nil, fmt.Errorf("speak to netfilter: %w", err)
		}
		if sp.redirect, err = networks.OpenRedirect(fd); err != nil {
			return nil, err
		}
	}
	return sp.redirect, sp.redirect.Cover(p, own)
}

// openLeader opens a leader of a range.
func (sp *space) openLeader(p netip.Prefix, own netip.Addr) (leader, error) {
	if sp.redirect != nil {
		return sp.openRedirect(p, own)
	}
	table, err := sp.openBPF(p, own)
	if err == nil {
		return table, nil
	}
	r, other := sp.openRedirect(p, own)
	if other != nil {
		return nil, errors.Join(err, other)
	}
	return r, nil
}

func (sp *space) openBPF(p netip.Prefix, own netip.Addr) (*sklookup.Table, error) {
	netns := sp.netns
	if netns == nil {
		var err error
		if netns, err = os.Open("/proc/self/ns/net"); err != nil {
			return nil, err
		}
		defer netns.Close()
	}
	return sklookup.Open(netns, p, own)
}

// warnPlain tells once what it means that services' ports themselves are bound. On
// the host it is always so for ordinary users.
func (sp *space) warnPlain(err error) {
	switch {
	case !sp.host():
		sp.hub.warned.Do(func() {
			sp.log().Warn("containers cannot listen on the ports of services on all addresses: have each service's port differ from its targetPort, or load the kernel's modules nf_tables and nft_reject_inet", "error", err)
		})
	case !rootless():
		sp.log().Warn("programs on the host cannot listen on the ports of services on all addresses", "error", err)
	}
}

// log is the pod's own where it has one.
func (sp *space) log() *slog.Logger {
	if sp.podLog != nil {
		return sp.podLog
	}
	return sp.hub.store.log()
}

// boundFor is where a socket for a service's address is bound: to any other port
// of it, or to the one that connections which are open go to already.
func (sp *space) boundFor(addr netip.AddrPort, table leader, udp bool) netip.AddrPort {
	port := uint16(0)
	switch {
	case table == nil:
		return addr
	case sp.redirect != nil && !udp:
		port = sp.redirect.Bound(addr)
	}
	return netip.AddrPortFrom(addr.Addr(), port)
}

// hold has the answers of a front's socket look as if they came from the service's
// port, for as long as there is something of the front.
func (sp *space) hold(f *front, addr netip.AddrPort) error {
	if sp.redirect == nil || f.table == nil {
		return nil
	}
	release, err := sp.redirect.Hold(f.protocol, addr, f.socket)
	if err != nil {
		return err
	}
	log := sp.log()
	f.releases = append(f.releases, func() {
		if err := release(); err != nil {
			log.Error("a service that has gone is still led to", "address", addr, "error", err)
		}
	})
	return nil
}
