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
}

// accept takes connections while there are places.
func (f *front) accept() error {
	var tries backoff
	for {
		select {
		case f.places <- struct{}{}:
		case <-f.draining:
			return nil
		case <-f.ctx.Done():
			return nil
		}
		c, err := f.tcp.Accept()
		if err == nil {
			tries = backoff{}
			f.readers.Go(func() { f.converse(c) })
			continue
		}
		<-f.places
		if f.over(err) {
			return nil
		}
		if !tries.wait(f.ctx, err) {
			return err
		}
		f.s.warn("cannot accept DNS connections", "address", f.tcp.Addr(), "error", err)
	}
}

// converse answers the queries of one connection, each as soon as it can be: a
// client that sends several at once (RFC 7766) gets them in any order.
func (f *front) converse(nc net.Conn) {
	c := &conn{Conn: nc, from: addrOf(nc.RemoteAddr())}
	defer func() { <-f.places }()
	defer f.forget(c)
	defer c.pending.Wait()
	if !f.remember(c) {
		return
	}
	for {
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
	until := f.until
	if until.IsZero() {
		until = time.Now().Add(idleTimeout)
	}
	return c.SetReadDeadline(until) == nil
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
