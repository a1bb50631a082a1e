package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Check says how a pool's endpoints are looked after: by a TCP connection to
// each, at intervals, which is reset as soon as it is made. An endpoint that
// does not take connections gets none, and those that it has go on. When all are
// down clients wait, or are turned away, as with an empty pool.
type Check struct {
	// Interval is the time between two checks of an endpoint. 0: 2 s.
	Interval time.Duration
	// Timeout is how long one may take. 0, or more than Interval: Interval.
	Timeout time.Duration
	// Rise is how many checks in a row have to succeed for an endpoint that is
	// down to be up. 0: 2. The first check of a new endpoint decides alone.
	Rise int
	// Fall is how many have to fail for one that is up to be down. 0: 3.
	Fall int

	// Log receives what changes: down as warnings. nil: nothing is logged.
	Log *slog.Logger
}

const (
	defaultCheckInterval = 2 * time.Second
	defaultRise          = 2
	defaultFall          = 3
)

// Validate checks the fields.
func (c Check) Validate() error {
	switch {
	case c.Interval < 0:
		return fmt.Errorf("check: Interval: %v is negative", c.Interval)
	case c.Timeout < 0:
		return fmt.Errorf("check: Timeout: %v is negative", c.Timeout)
	case c.Rise < 0:
		return fmt.Errorf("check: Rise: %d is negative", c.Rise)
	case c.Fall < 0:
		return fmt.Errorf("check: Fall: %d is negative", c.Fall)
	}
	return nil
}

func (c Check) withDefaults() Check {
	if c.Interval == 0 {
		c.Interval = defaultCheckInterval
	}
	if c.Timeout == 0 || c.Timeout > c.Interval {
		c.Timeout = c.Interval
	}
	if c.Rise == 0 {
		c.Rise = defaultRise
	}
	if c.Fall == 0 {
		c.Fall = defaultFall
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Watch checks the endpoints of the pool, also those of a later Set, until ctx
// ends, and returns when no check is under way any more. One call for a pool at
// a time. The error is Check.Validate's.
func (p *Pool) Watch(ctx context.Context, c Check) error {
	if err := c.Validate(); err != nil {
		return err
	}
	c = c.withDefaults()
	var checks sync.WaitGroup
	defer checks.Wait()
	for pause := time.NewTimer(0); ; {
		select {
		case <-ctx.Done():
			pause.Stop()
			return nil
		case <-pause.C:
		}
		// All at different times of an interval.
		m := p.nextToCheck(c.Interval)
		if m != nil {
			checks.Go(func() { m.check(ctx, c) })
		}
		pause.Reset(p.untilCheck(c.Interval))
	}
}

// nextToCheck returns the member whose turn it is, and gives it the next one.
func (p *Pool) nextToCheck(interval time.Duration) *member {
	now := p.clock()
	for i, m := range p.view.Load().members {
		switch due := m.checkAt.Load(); {
		case due == 0:
			// A new one: at once, and then at its place in the interval.
			n := int64(len(p.view.Load().members))
			m.checkAt.Store(now + int64(interval)*(n+int64(i))/(2*n))
			return m
		case due <= now:
			m.checkAt.Store(max(due+int64(interval), now))
			return m
		}
	}
	return nil
}

// untilCheck is the time to the next check, or to a look for new members.
func (p *Pool) untilCheck(interval time.Duration) time.Duration {
	next := p.clock() + int64(min(interval, defaultCheckInterval))
	for _, m := range p.view.Load().members {
		next = min(next, m.checkAt.Load())
	}
	return time.Duration(max(next-p.clock(), 0))
}

// check makes one check, unless the one before is not over.
func (m *member) check(ctx context.Context, c Check) {
	if !m.checking.CompareAndSwap(false, true) {
		return
	}
	defer m.checking.Store(false)
	err := tryConnect(ctx, m.sockets(), m.addr(), c.Timeout)
	if ctx.Err() != nil || local(err) {
		return // it says nothing about the endpoint
	}
	m.checks.Add(1)
	if err != nil {
		m.checksFailed.Add(1)
	}
	if m.judge(err, c) {
		return
	}
	name := slog.String("endpoint", m.key.id)
	if err != nil {
		c.Log.Warn("the endpoint is down", name, "error", err)
		return
	}
	c.Log.Info("the endpoint is up", name)
	m.pool.capacity()
}

// judge counts a check's result, and reports whether all is as it was.
func (m *member) judge(err error, c Check) (same bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.checkError = err
	failed, need := err != nil, c.Fall
	if !failed {
		need = c.Rise
	}
	if !m.checked {
		m.checked, need = true, 1
	}
	if failed == m.down.Load() {
		m.streak = 0
		return true
	}
	if m.streak++; m.streak < need {
		return true
	}
	m.streak = 0
	m.down.Store(failed)
	if !failed && m.pool.o.SlowStart > 0 {
		m.begun.Store(m.pool.clock())
	}
	return false
}

// tryConnect connects and resets the connection: that leaves nothing to wait for,
// neither here nor there.
func tryConnect(ctx context.Context, sockets *Sockets, to netip.AddrPort, timeout time.Duration) error {
	fd, err := sockets.one(domainOf(to.Addr()), unix.SOCK_STREAM)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "check")
	defer f.Close()
	f.SetDeadline(time.Now().Add(timeout))
	defer context.AfterFunc(ctx, func() { f.SetDeadline(time.Unix(1, 0)) })()
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	address := socketAddress(to)
	failed := raw.Write(func(fd uintptr) bool {
		// Again and again until it is connected, or is not.
		err = unix.Connect(int(fd), address)
		return err != unix.EINPROGRESS && err != unix.EALREADY && err != unix.EINTR
	})
	if failed != nil {
		return unix.ETIMEDOUT
	}
	if err != nil && err != unix.EISCONN {
		return err
	}
	if name, err := unix.Getsockname(fd); err == nil && addrPortOf(name) == to {
		return unix.ECONNREFUSED // connected to itself, see isItself
	}
	linger := unix.Linger{Onoff: 1}
	return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &linger)
}

// addrPortOf returns what the kernel calls a TCP socket.
func addrPortOf(a unix.Sockaddr) netip.AddrPort {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
	}
	return netip.AddrPort{}
}
