package proxy

import (
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// relay is the data path: it copies between two connections until both
// directions ended in order, or until abort was called, by relay itself or by
// others. abort has to close both connections. The connections are left open
// otherwise, with both directions shut down.
//
// It reports the bytes written to the backend and to the client.
func relay(client, backend net.Conn, busy *activity, abort func(error)) (in, out int64) {
	up := &direction{name: "client to backend", src: client, dst: backend, busy: busy}
	down := &direction{name: "backend to client", src: backend, dst: client, busy: busy}
	p := &pair{abort: abort}
	var wg sync.WaitGroup
	wg.Go(func() { p.pump(down, up) })
	p.pump(up, down)
	wg.Wait()
	return up.n, down.n
}

// direction is one of the two of a pair.
type direction struct {
	name     string
	src, dst net.Conn
	busy     *activity
	n        int64 // bytes written to dst
	done     bool  // nothing is copied any more; guarded by the pair
}

// pair is what the two directions have to agree on.
type pair struct {
	abort func(error)

	mu     sync.Mutex
	failed error // of the direction that left the abort to the other one
	over   bool  // reading was interrupted because all is done
}

func (p *pair) pump(d, other *direction) {
	var err error
	d.n, err = transfer(d.dst, d.src, d.busy)
	if watch := p.finish(d, other, err); !watch {
		return
	}
	// Somebody has to notice a reset of the side that said goodbye, for the
	// other direction may be silent for long.
	if err := awaitReset(d.src); err != nil {
		p.abort(fmt.Errorf("%s: %w", d.name, err))
	}
}

// finish passes the end of a direction on. It returns true if the other
// direction goes on.
func (p *pair) finish(d, other *direction, err error) (watch bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return false
	}
	// A socket tells the error that ended it once. If a write of the other
	// direction took it, reading says end of file, and passing that on would
	// make a truncated stream look complete. A true end leaves the
	// connection half open until the other direction is shut down as well.
	if err == nil && !other.done && dead(d.src) {
		err = unix.ECONNRESET
	}
	d.done = true
	switch {
	case err != nil && !other.done && dead(d.dst) && !dead(d.src):
		// What dst sent before it failed is still there (an answer that
		// refuses an upload): the other direction passes it on, comes to
		// the end, and aborts.
		p.failed = fmt.Errorf("%s: %w", d.name, err)
		return false
	case err == nil && p.failed == nil:
		err = closeWrite(d.dst)
	}
	switch {
	case p.failed != nil:
		p.abort(p.failed)
	case err != nil:
		p.abort(fmt.Errorf("%s: %w", d.name, err))
	case other.done || !canCloseWrite(d.dst):
		// The other direction, which reads from dst, is only watching, or
		// dst cannot be told of the end but by closing it.
		p.over = true
		d.dst.SetReadDeadline(longAgo)
	default:
		return true
	}
	return false
}

// longAgo as a deadline interrupts what waits.
var longAgo, noDeadline = time.Unix(1, 0), time.Time{}

// bufferSize is the memory of a direction that cannot be spliced; it bounds
// what the proxy holds of a peer that does not read.
const bufferSize = 32 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// transfer copies until src ends. Between TCP connections package net uses
// splice(2): the bytes stay in the kernel.
func transfer(dst, src net.Conn, busy *activity) (n int64, err error) {
	if to, ok := dst.(*net.TCPConn); ok {
		if from, ok := src.(*net.TCPConn); ok {
			return to.ReadFrom(from)
		}
	}
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	for {
		r, readErr := src.Read(buf[:])
		if r > 0 {
			busy.touch()
			w, err := dst.Write(buf[:r])
			n += int64(w)
			if err != nil {
				return n, err
			}
			busy.touch()
		}
		if readErr == io.EOF {
			return n, nil
		}
		if readErr != nil {
			return n, readErr
		}
	}
}
