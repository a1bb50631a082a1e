package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// servers are so many that the proxy does not run out of ports: those of
// connections that have ended rest for a minute.
const servers = 8

// maxErrors ends the soak: more would tell the same.
const maxErrors = 20

// run is one soak.
type run struct {
	o       options
	proxy   *process
	servers []net.Listener
	serving sync.WaitGroup
	report  report

	next atomic.Int64
	mu   sync.Mutex
	errs []error
}

// soak makes the connections. The report tells how far it came.
func soak(ctx context.Context, o options) (*report, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil, err
	}
	// Two for each connection, here and in the proxy.
	o.hold = min(o.hold, int(limit.Max)/2-250)
	r := &run{o: o}
	defer r.close()
	if err := r.start(); err != nil {
		return nil, err
	}
	begun := time.Now()
	r.visits(ctx, min(1000, o.connections)) // wakes up what is made once
	err := r.proxy.rest(&r.report.first)
	if err == nil {
		r.visits(ctx, o.connections)
		err = r.proxy.rest(&r.report.last)
	}
	r.report.took = time.Since(begun)
	if err == nil && len(r.errs) == 0 && ctx.Err() == nil {
		err = r.holdAll()
	}
	if err == nil {
		err = r.proxy.rest(&r.report.end)
	}
	return &r.report, errors.Join(append(r.errs, err, context.Cause(ctx), r.report.check(r.proxy))...)
}

// start starts the servers and the proxy.
func (r *run) start() error {
	var backends []string
	for range servers {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		r.servers = append(r.servers, l)
		backends = append(backends, l.Addr().String())
		r.serving.Go(func() { r.serve(l) })
	}
	p, err := startProxy(r.o.peapod, backends, &r.report.failures)
	r.proxy = p
	return err
}

func (r *run) close() {
	if r.proxy != nil {
		r.proxy.stop()
	}
	for _, l := range r.servers {
		l.Close()
	}
	r.serving.Wait()
}

func (r *run) serve(l net.Listener) {
	buffers := sync.Pool{New: func() any { return new([32 << 10]byte) }}
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			r.fail(fmt.Errorf("server: %w", err))
			continue
		}
		r.serving.Go(func() {
			defer c.Close()
			buf := buffers.Get().(*[32 << 10]byte)
			defer buffers.Put(buf)
			if err := serve(c.(*net.TCPConn), buf[:]); err != nil {
				r.fail(fmt.Errorf("server: %w", err))
			}
		})
	}
}

// visits makes connections until there have been as many.
func (r *run) visits(ctx context.Context, until int) {
	var wg sync.WaitGroup
	for place := range r.o.places {
		wg.Go(func() {
			rng, buf := rand.New(rand.NewPCG(r.o.seed, uint64(place))), make([]byte, 32<<10)
			// An address for each: none runs out of ports.
			local := &net.TCPAddr{IP: net.IPv4(127, 1, byte(place>>8), byte(place))}
			for ctx.Err() == nil && r.ok() {
				if n := r.next.Add(1); n > int64(until) {
					r.next.Add(-1)
					return
				}
				r.visit(newOrder(rng), local, buf)
			}
		})
	}
	wg.Wait()
}

func (r *run) visit(o order, local net.Addr, buf []byte) {
	if err := visit(r.proxy.addr, local, o, buf); err != nil {
		r.fail(fmt.Errorf("client: %s, %d bytes up, %d down: %w", o.kind, o.up, o.down, err))
		return
	}
	r.report.count(o)
}

func (r *run) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.errs) < maxErrors {
		r.errs = append(r.errs, err)
	}
}

func (r *run) ok() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.errs) < maxErrors
}

// holdAll has many connections open at once, and all of them work.
func (r *run) holdAll() error {
	conns := make([]*net.TCPConn, 0, r.o.hold)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	o, buf := order{kind: clientEnds, up: 100, down: 100, seed: r.o.seed}, make([]byte, 512)
	begun := time.Now()
	for i := range r.o.hold {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 2, 0, byte(i))}, Timeout: patience}
		c, err := d.Dial("tcp", r.proxy.addr)
		if err != nil {
			return fmt.Errorf("connection %d at once: %w", i, err)
		}
		conns = append(conns, c.(*net.TCPConn))
	}
	for i, c := range conns {
		c.SetDeadline(time.Now().Add(patience))
		if _, err := c.Write(o.encode()); err != nil {
			return fmt.Errorf("connection %d of those at once: %w", i, err)
		}
	}
	if err := r.proxy.awaits(len(conns)); err != nil {
		return err
	}
	for i, c := range conns {
		err := o.giveUp(c, buf)
		if err == nil {
			err = o.receive(c, o.down, buf)
		}
		if err != nil {
			return fmt.Errorf("connection %d of those at once: %w", i, err)
		}
		r.report.count(o)
	}
	r.report.held, r.report.heldFor = len(conns), time.Since(begun)
	return nil
}
