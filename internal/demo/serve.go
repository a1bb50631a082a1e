package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// drainTime is what connections get to end their last request in once the
// server was asked to stop.
const drainTime = time.Second

// server accepts connections and gives each to a goroutine of its own.
type server struct {
	limit  int    // connections at a time
	refuse string // what a connection above the limit is told
	handle func(context.Context, net.Conn)

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// serve runs until ctx ends, which is no error, or ln fails. It closes ln, and
// no handler runs any more when it returns.
func (s *server) serve(ctx context.Context, ln net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.conns = make(map[net.Conn]struct{})
	context.AfterFunc(ctx, func() { ln.Close() })

	var handlers sync.WaitGroup
	err := s.accept(ctx, ln, &handlers)
	cancel()
	s.drain(&handlers)
	return err
}

func (s *server) accept(ctx context.Context, ln net.Listener, handlers *sync.WaitGroup) error {
	for {
		c, err := ln.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				c.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // out of descriptors or memory: it passes
			pause(ctx, 50*time.Millisecond)
			continue
		}
		if !s.add(c) {
			c.SetWriteDeadline(time.Now().Add(drainTime))
			io.WriteString(c, s.refuse)
			c.Close()
			continue
		}
		handlers.Go(func() {
			defer s.remove(c)
			s.handle(ctx, c)
		})
	}
}

func pause(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
}

func (s *server) add(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) >= s.limit {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *server) remove(c net.Conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	c.Close()
}

func (s *server) each(f func(net.Conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		f(c)
	}
}

// drain wakes the handlers that wait for a request, lets the others finish
// theirs, and cuts off what takes longer than drainTime.
func (s *server) drain(handlers *sync.WaitGroup) {
	s.each(func(c net.Conn) { c.SetReadDeadline(time.Unix(1, 0)) })
	cut := time.AfterFunc(drainTime, func() { s.each(func(c net.Conn) { c.Close() }) })
	defer cut.Stop()
	handlers.Wait()
}

// awaitRequest gives c until d from now to send its next request and reports
// whether the server still wants one. The order matters: drain sets its
// deadline after ctx has ended, so a handler that overwrites it sees ctx.
func awaitRequest(ctx context.Context, c net.Conn, d time.Duration) bool {
	var t time.Time
	if d > 0 {
		t = time.Now().Add(d)
	}
	c.SetReadDeadline(t)
	return ctx.Err() == nil
}

// linger ends c from the server's side and lets the client read what was last
// sent: closing while bytes of it wait to be read would reset the connection,
// which can take the reply with it.
func linger(ctx context.Context, c net.Conn) {
	half, ok := c.(*net.TCPConn)
	if !ok || half.CloseWrite() != nil || !awaitRequest(ctx, c, drainTime) {
		return
	}
	io.CopyN(io.Discard, c, 4*maxBytes)
}

// listen announces on addr, and says so on w: with port 0 that line is the
// only way to learn which port it became.
func listen(ctx context.Context, name, addr string, w io.Writer) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err // package net names operation and address
	}
	fmt.Fprintf(w, "%s: listening on %s\n", name, ln.Addr())
	return ln, nil
}
