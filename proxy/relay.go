package proxy

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// relay is the data path: it copies between two connections until both
// directions ended in order, or until abort was called, by relay itself or by
// others. abort has to close both connections. The connections are left open
// otherwise, with both directions shut down.
//
// It reports the bytes written to the backend and to the client.
func relay(client, backend net.Conn, busy *activity, abort func(error)) (in, out int64) {
	var open atomic.Int32
	open.Store(2)
	var over atomic.Bool // reading was interrupted because all is done
	pump := func(name string, dst, src net.Conn, n *int64) {
		var err error
		if *n, err = transfer(dst, src, busy); err == nil {
			err = closeWrite(dst)
		}
		switch {
		case err != nil && !over.Load():
			abort(fmt.Errorf("%s: %w", name, err))
		case err != nil || open.Add(-1) == 0 || !canCloseWrite(dst):
			// The other pump, which reads from dst, is only watching, or
			// dst cannot be told of the end but by closing it.
			over.Store(true)
			dst.SetReadDeadline(longAgo)
		default:
			// Somebody has to notice a reset of the side that said
			// goodbye, for the other direction may be silent for long.
			if err := awaitReset(src); err != nil {
				abort(fmt.Errorf("%s: %w", name, err))
			}
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { pump("backend to client", client, backend, &out) })
	pump("client to backend", backend, client, &in)
	wg.Wait()
	return in, out
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
