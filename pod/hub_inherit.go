package pod

import (
	"encoding/json"
	"os"
	"time"
)

// A service whose process died without a word is taken over by another one that
// supervises a pod which it leads to: by whoever gets the lock first, which the
// kernel gives to one of them. Its address and what listens on the host survive as
// long as a pod serves it. With the last such pod of the new owner the service goes
// on to the next process, or ends. One that was withdrawn has no directory any
// more, and nobody takes it over.

// orphaned notes a service whose owner has died and that pods serve. It stays as it
// was, for who is to take it over.
func (c *catalog) orphaned(name string) bool {
	if _, err := os.Stat(c.store.servicePlace(name).serviceFile()); err != nil {
		return false
	}
	c.mu.Lock()
	old := c.services[name]
	c.mu.Unlock()
	if old == nil || !c.servedBy(old.Service, func(int) bool { return true }) {
		return false
	}
	c.mu.Lock()
	c.orphans[name] = true
	c.mu.Unlock()
	return true
}

// servedBy tells whether a service leads to a pod of a process that is wanted, and
// that is not about to end.
func (c *catalog) servedBy(s *Service, wanted func(pid int) bool) bool {
	for _, p := range c.selected(s) {
		if !p.state.ending && wanted(p.state.supervisor) {
			return true
		}
	}
	return false
}

func ours(pid int) bool { return pid == os.Getpid() }

// settleOwner takes a service over that has lost its owner, and gives one up that
// this process does not serve any more. mu is held.
func (h *hub) settleOwner(name string) {
	h.catalog.mu.Lock()
	r, orphan := h.catalog.services[name], h.catalog.orphans[name]
	h.catalog.mu.Unlock()
	switch {
	case r == nil || h.closed:
	case h.inherited[name] != nil && !h.catalog.servedBy(r.Service, ours):
		h.letGo(name)
	case !orphan:
	case !h.catalog.servedBy(r.Service, func(int) bool { return true }):
		h.catalog.mu.Lock()
		delete(h.catalog.services, name)
		delete(h.catalog.orphans, name)
		h.catalog.mu.Unlock()
	case h.catalog.servedBy(r.Service, ours):
		h.takeOver(name, r)
	}
}

// takeOver makes this process the owner of a service, unless somebody else is.
func (h *hub) takeOver(name string, r *ServiceRecord) {
	p := h.store.servicePlace(name)
	lock, err := p.lock()
	if err != nil {
		return // its owner's record is about to come, or the directory has gone
	}
	// It may be another's by now, who has made it anew.
	held, err1 := lock.Stat()
	there, err2 := os.Stat(p.lockFile())
	_, err3 := os.Stat(p.serviceFile())
	if err1 != nil || err2 != nil || err3 != nil || !os.SameFile(held, there) {
		lock.Close()
		return
	}
	next := *r
	next.PID, next.Group, next.Changed = os.Getpid(), "", time.Now().UTC()
	data, err := json.Marshal(&next)
	if err == nil {
		err = replaceFile(p.serviceFile(), data)
	}
	if err != nil {
		h.store.log().Error("a service cannot be taken over", "service", name, "error", err)
		lock.Close()
		return
	}
	h.store.log().Info("a service is taken over", "service", name, "from", r.PID)
	h.inherited[name] = &registration{store: h.store, records: []*ServiceRecord{&next}, places: []place{p}, locks: []*os.File{lock}}
	if h.spaces[hostSpace] == nil {
		h.spaces[hostSpace] = newSpace(h, nil)
	}
	h.catalog.readService(name)
}

// letGo gives up a service that was taken over: to others who serve it, or for
// good.
func (h *hub) letGo(name string) {
	r := h.inherited[name]
	delete(h.inherited, name)
	others := h.catalog.servedBy(r.records[0].Service, func(pid int) bool { return !ours(pid) })
	if !others {
		r.release()
		h.catalog.readService(name)
		return
	}
	// Its host ports are free before it is.
	if s, host := h.services[name], h.spaces[hostSpace]; s != nil && host != nil {
		host.shut(s, s.ports)
	}
	for _, lock := range r.locks {
		lock.Close()
	}
	h.catalog.readService(name)
}

// again tries once more to have what the host lacks of a service: a process that
// dies closes its sockets in its own order.
func (h *hub) again(s *hubService) {
	host := h.spaces[hostSpace]
	name := s.record.Service.Metadata.Name
	if s.failed == nil || host == nil || h.inherited[name] == nil {
		return
	}
	if s.failed = host.align(s); s.failed == nil {
		return
	}
	if s.tries++; s.tries > 10 {
		h.store.log().Error("a service is not reached on the host", "service", name, "address", s.failed.listener.addr, "error", s.failed.err)
		return
	}
	time.AfterFunc(time.Millisecond<<s.tries, func() { h.follow(change{services: []string{name}}) })
}
