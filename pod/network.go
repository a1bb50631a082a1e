package pod

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/namespaces"
	"github.com/peapod/peapod/proxy"
)

// namespaces makes those that the pod's containers share. On the host's network
// none is made for that. With ids they belong to a user namespace, and there is a
// mount namespace.
func (p *Pod) namespaces(onHost bool, ids *namespaces.IDMaps) (set *namespaces.Set, err error) {
	o := namespaces.Options{Hostname: p.Hostname()}
	kinds := []namespaces.Kind{namespaces.IPC, namespaces.UTS}
	if !onHost {
		o.Loopback = true
		// A pod's ports are its own: no privilege is needed for any.
		o.Sysctls = map[string]string{"net.ipv4.ip_unprivileged_port_start": "0"}
		kinds = append(kinds, namespaces.Network)
	}
	if ids != nil {
		set, err = o.NewOwned(context.Background(), *ids, append(kinds, namespaces.Mount)...)
	} else {
		set, err = o.New(kinds...)
	}
	if err != nil {
		return nil, fmt.Errorf("make the pod's namespaces: %w", err)
	}
	return set, nil
}

// dialRetry is for how long a connection to a host port waits for the program
// in the pod to listen: it may be about to start.
const dialRetry = 2 * time.Second

// forwarding passes connections to host ports on into the pod, through sockets
// that are made in its network namespace.
type forwarding struct {
	proxy   proxy.Proxy
	sockets proxy.Sockets // of the pod's network namespace
	list    []*proxy.Front
	netns   *os.File
	ready   chan struct{} // closed when netns is there
	opened  sync.Once
	gone    chan struct{} // closed when there is nothing to wait for
	closed  sync.Once
}

// forward listens on the pod's host ports. Connections wait until open is
// called.
func (s *Supervisor) forward() (*forwarding, error) {
	f := &forwarding{ready: make(chan struct{}), gone: make(chan struct{})}
	f.sockets.Make = f.make
	f.proxy.DialRetry, f.proxy.Log = dialRetry, s.store.Log
	for i, c := range s.pod.Spec.Containers {
		for j, p := range c.Ports {
			if p.HostPort == 0 || s.onHost() {
				continue // the container listens itself
			}
			addr := net.JoinHostPort(p.HostIP, strconv.Itoa(p.HostPort))
			front, err := f.proxy.Forward(context.Background(), addr, f.pool(c.Name, p.ContainerPort))
			if err != nil {
				f.close()
				return nil, s.pod.Errorf(fmt.Sprintf("%s.ports[%d].hostPort", containerPath(i), j), "%w", s.explainListen(p, err))
			}
			f.list = append(f.list, front)
		}
	}
	return f, nil
}

// explainListen says why a host port cannot be listened on, and who has it.
func (s *Supervisor) explainListen(p Port, err error) error {
	port := strconv.Itoa(p.HostPort)
	if p.HostIP != "" {
		port = net.JoinHostPort(p.HostIP, port)
	}
	var errno unix.Errno
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		owner := "another process (ss -ltnp tells which)"
		if other := s.store.portOwner(s.place.name, p); other != "" {
			owner = "pod " + other
		}
		return explain(err, "host port %s is in use by %s; choose another", port, owner)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return explain(err, "host port %s: the host has no such address", port)
	case deniedPort(err) != "":
		return explain(err, "host port %s: ordinary users may listen on port %s and above (sysctl net.ipv4.ip_unprivileged_port_start)", port, deniedPort(err))
	case errors.As(err, &errno):
		return fmt.Errorf("listen on host port %s: %w", port, errno)
	}
	return err
}

// portOwner finds the running pod of the store, other than the one called self,
// that has a host port; "" when there is none.
func (s *Store) portOwner(self string, wanted Port) string {
	want, _ := netip.ParseAddr(wanted.HostIP)
	list, err := s.List()
	if err != nil {
		return ""
	}
	for _, r := range list {
		if r.Pod.Metadata.Name == self || r.Status.finished() {
			continue
		}
		for _, c := range r.Pod.Spec.Containers {
			for _, p := range c.Ports {
				if has, _ := netip.ParseAddr(p.HostIP); p.HostPort == wanted.HostPort && overlap(want, has) {
					return r.Pod.Metadata.Name
				}
			}
		}
	}
	return ""
}

// open lets connections go on into the pod's network namespace.
func (f *forwarding) open(netns *os.File) {
	f.netns = netns
	f.opened.Do(func() { close(f.ready) })
}

// make makes sockets in the pod's network namespace when it is there.
func (f *forwarding) make(domain, typ, n int) ([]int, error) {
	select {
	case <-f.ready:
	case <-f.gone:
		return nil, proxy.ErrClosed
	}
	return namespaces.Sockets(f.netns, domain, typ, 0, n)
}

// pool has a container's port as its only endpoint. That is tried by each
// connection, for the program may be about to listen.
func (f *forwarding) pool(container string, port int) *proxy.Pool {
	pool := proxy.NewPool(proxy.PoolOptions{EjectAfter: -1})
	pool.Set([]proxy.Endpoint{{
		ID:      container,
		Addr:    netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port)),
		Sockets: &f.sockets,
	}})
	return pool
}

// drain takes no more connections and lets those that are open end in time.
// It ends at the latest with close.
func (f *forwarding) drain(grace time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	f.proxy.Shutdown(ctx)
}

// close ends the forwarding. What the pod wrote last is still delivered to
// clients that take it.
func (f *forwarding) close() {
	f.drain(time.Second)
	f.sockets.Close()
	f.closed.Do(func() { close(f.gone) })
}

func (f *forwarding) addrs() []string {
	var list []string
	for _, front := range f.list {
		list = append(list, front.Addr().String())
	}
	return list
}
