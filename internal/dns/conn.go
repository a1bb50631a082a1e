package dns

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// conn is a client's TCP connection.
type conn struct {
	net.Conn
	from    netip.AddrPort
	pending sync.WaitGroup
	writing sync.Mutex
	f       *front
}

// Read goes on when drain wakes it and there is more.
func (c *conn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if n > 0 || !c.f.woken(err) || !c.f.more(c.Conn) {
			return n, err
		}
	}
}

// accept takes connections while there are places.
func (f *front) accept() error {
	var tries backoff
	for f.more(f.tcp) {
		if !f.place() {
			return nil
		}
		c, err := f.tcp.Accept()
		if err == nil {
			tries = backoff{}
			f.readers.Go(func() { f.converse(c) })
			continue
		}
		<-f.places
		switch {
		case f.woken(err):
		case f.over(err):
			return nil
		case !tries.wait(f.ctx, err):
			return err
		default:
			f.s.warn("cannot accept DNS connections", "address", f.tcp.Addr(), "error", err)
		}
	}
	return nil
}

// place waits for a place for one more connection. While draining there is
// either one or none.
func (f *front) place() bool {
	select {
	case f.places <- struct{}{}:
		return true
	default:
	}
	select {
	case f.places <- struct{}{}:
		return true
	case <-f.draining:
	case <-f.ctx.Done():
	}
	return false
}

// converse answers the queries of one connection, each as soon as it can be: a
// client that sends several at once (RFC 7766) gets them in any order.
func (f *front) converse(nc net.Conn) {
	c := &conn{Conn: nc, from: addrOf(nc.RemoteAddr()), f: f}
	defer func() { <-f.places }()
	defer f.forget(c)
	defer c.pending.Wait()
	if !f.remember(c) {
		return
	}
	for f.more(nc) {
		if !f.extend(c) {
			return
		}
		msg, err := readTCP(c, maxQuery)
		if err != nil {
			return
		}
		f.handle(msg, c, nil)
	}
}

func (f *front) remember(c *conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conns[c] = struct{}{}
	return f.ctx.Err() == nil
}

func (f *front) forget(c *conn) {
	c.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, c)
}

// extend gives the client time for the next query, except while draining.
func (f *front) extend(c *conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.isDraining() {
		return true // more has set what there is
	}
	return c.SetReadDeadline(time.Now().Add(idleTimeout)) == nil
}

func (c *conn) tcp() bool            { return true }
func (c *conn) addr() netip.AddrPort { return c.from }

// send closes the connection when the client does not take the answer: half of
// one is of no use to it.
func (c *conn) send(msg []byte) {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.SetWriteDeadline(time.Now().Add(writeTimeout))
	if writeTCP(c, msg) != nil {
		c.Close()
	}
}

func (c *conn) hold() func() {
	c.pending.Add(1)
	return c.pending.Done
}
