package main

import (
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/peapod/peapod/namespaces"
	"github.com/peapod/peapod/proxy"
	"golang.org/x/sys/unix"
)

// network is a network namespace in which backends are.
type network struct {
	file    *os.File
	sockets proxy.Sockets // made inside
}

// openNetwork returns the namespace at path: had, which that path led to
// before, if it still is the same one.
func openNetwork(path string, had *network) (*network, error) {
	file, err := namespaces.Open(namespaces.Network, path)
	if err != nil {
		return nil, err
	}
	if had != nil {
		if same, err := namespaces.Same(file, had.file); err == nil && same {
			file.Close()
			return had, nil
		}
	}
	n := &network{file: file}
	n.sockets.Make = func(domain, typ, count int) ([]int, error) {
		return namespaces.Sockets(file, domain, typ, 0, count)
	}
	return n, nil
}

func (n *network) close() {
	n.sockets.Close()
	n.file.Close()
}

// checkTransparent reports why backends cannot be connected to from clients'
// addresses, as far as that can be known before: how replies come back from
// other hosts is for their routes to say.
func checkTransparent(c *proxyService, networks map[string]*network) error {
	if !c.Transparent || !slices.ContainsFunc(c.Listen, listenAddress.beyondLoopback) {
		return nil
	}
	for i := range c.Backends {
		b := &c.Backends[i]
		n, to := networks[b.Netns], netip.MustParseAddrPort(string(b.Address)).Addr()
		if err := b.mayBeTransparent(n, to); err != nil {
			return fmt.Errorf("backend %s: %w", b.id(), err)
		}
	}
	return nil
}

func (b *proxyBackend) mayBeTransparent(n *network, to netip.Addr) error {
	var sockets *proxy.Sockets
	if n != nil {
		sockets = &n.sockets
	}
	switch {
	case to.IsLoopback():
		return proxy.CheckTransparent(sockets, to)
	case n != nil || !to.Is4():
		return nil // the first connection tells
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TRANSPARENT, 1); err != nil {
		return fmt.Errorf("setsockopt IP_TRANSPARENT: %w: it needs CAP_NET_ADMIN", err)
	}
	return nil
}
