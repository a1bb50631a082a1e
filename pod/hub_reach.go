package pod

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/peapod/peapod/namespaces"
	"github.com/peapod/peapod/networks"
	"github.com/peapod/peapod/proxy"
	"golang.org/x/sys/unix"
)

// reach is how connections get into a pod: by sockets of its network namespace.
type reach struct {
	state   podState // which supervisor's pod it is
	netns   *os.File
	sockets *proxy.Sockets

	transparent bool // replies to clients elsewhere come back
}

func (r *reach) allowTransparent() error {
	if r.transparent {
		return nil
	}
	fd, err := namespaces.Socket(r.netns, unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	err = networks.AllowTransparent(fd)
	r.transparent = err == nil
	return err
}

func (r *reach) close() {
	r.sockets.Close()
	r.netns.Close()
}

// reach returns the way into a pod. mu is held.
func (h *hub) reach(p *catalogPod) (*reach, error) {
	name := p.pod.Metadata.Name
	if r := h.reaches[name]; r != nil {
		if r.state.same(p.state) {
			return r, nil
		}
		delete(h.reaches, name)
		r.close()
	}
	netns, err := h.openNetns(name, p.state)
	if err != nil {
		return nil, err
	}
	r := &reach{state: p.state, netns: netns, sockets: &proxy.Sockets{Make: socketsOf(netns)}}
	h.reaches[name] = r
	return r, nil
}

// openNetns opens the network namespace of a pod, which its supervisor has open.
func (h *hub) openNetns(name string, state podState) (*os.File, error) {
	if state.netns == 0 {
		return nil, fmt.Errorf("its supervisor does not say which network namespace it has")
	}
	path := filepath.Join("/proc", strconv.Itoa(state.supervisor), "fd", strconv.Itoa(state.netns))
	f, err := namespaces.Open(namespaces.Network, path)
	if err != nil {
		return nil, err
	}
	// The number of a process that died may be another's by now.
	p, err := h.store.place(name)
	if err == nil {
		var running bool
		if running, err = p.supervised(); err == nil && !running {
			err = fmt.Errorf("its supervisor has gone")
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// sweepReaches gives up the ways into pods that have gone. mu is held.
func (h *hub) sweepReaches() {
	for name, r := range h.reaches {
		if !h.catalog.has(name, r.state) {
			delete(h.reaches, name)
			r.close()
		}
	}
}
