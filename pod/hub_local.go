package pod

import (
	"net/netip"
	"sync"

	"github.com/peapod/peapod/namespaces"
	"github.com/peapod/peapod/networks"
)

// hostRanges are ranges of services' addresses that are local on the host for as
// long as something of this process listens there, or has connections.
type hostRanges struct {
	mu   sync.Mutex
	held map[netip.Prefix]*heldRange
}

type heldRange struct {
	local *networks.LocalRange
	users int
}

// hold makes a range local. Who has called it releases it again.
func (h *hostRanges) hold(p netip.Prefix) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	held := h.held[p]
	if held == nil {
		local, err := networks.HoldLocal(p)
		if err != nil {
			return err
		}
		if h.held == nil {
			h.held = map[netip.Prefix]*heldRange{}
		}
		held = &heldRange{local: local}
		h.held[p] = held
	}
	held.users++
	return nil
}

func (h *hostRanges) release(p netip.Prefix) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	held := h.held[p]
	if held.users--; held.users > 0 {
		return nil
	}
	delete(h.held, p)
	return held.local.Release()
}

func (h *hostRanges) releaseAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for p, held := range h.held {
		held.local.Release()
		delete(h.held, p)
	}
}

// isLocal tells whether a range is, in all network namespaces.
func isLocal(p netip.Prefix) bool { return p.Addr().IsLoopback() }

// makeLocal makes a range of addresses local in the space. On the host it is so
// until release is called, in a pod as long as its network namespace is there.
func (sp *space) makeLocal(p netip.Prefix) (release func(), err error) {
	none := func() {}
	switch {
	case isLocal(p) || sp.local[p]:
		return none, nil
	case sp.host():
		h := sp.hub
		return func() {
			if err := h.ranges.release(p); err != nil {
				h.store.log().Warn("addresses of services stay local", "range", p, "error", err)
			}
		}, h.ranges.hold(p)
	}
	if err := networks.AddLocal(sp.netns, p, namespaces.Do); err != nil {
		return none, err
	}
	sp.local[p] = true
	return none, nil
}

// openTable opens what leads to services of a range, unless it is. nil is where that
// is not possible: listeners are bound to the services' own ports.
func (sp *space) openTable(p netip.Prefix) (table leader, err error) {
	if sp.tables[p] != nil || sp.plain {
		return sp.tables[p], nil
	}
	var own netip.Addr
	if p.Contains(sp.own) {
		own = sp.own
	}
	if table, err = sp.openLeader(p, own); err != nil {
		sp.plain = true
		sp.warnPlain(err)
		return nil, nil
	}
	sp.tables[p] = table
	if p.Contains(dnsAddress) {
		err = sp.leadDNS(table)
	}
	return table, err
}
