package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds what one connection may take.
const patience = time.Minute

// serve is the server's side of a connection.
func serve(c *net.TCPConn, buf []byte) error {
	c.SetDeadline(time.Now().Add(patience))
	o, err := readOrder(c)
	if err != nil {
		return err
	}
	if o.kind != serverEnds {
		if err := o.takeUp(c, buf); err != nil {
			return err
		}
	}
	switch o.kind {
	case clientReset:
		// Writing fails, or else reading: a reset that becomes an end would
		// look like a client that has it all.
		if err := o.send(c, true, o.down, false, buf); err != nil {
			return nil
		}
		return wantsReset(c, 0)
	case serverReset:
		if err := o.send(c, true, o.down/2, true, buf); err != nil {
			return err
		}
		return c.SetLinger(0)
	case serverEnds:
		if err := o.send(c, true, o.down, false, buf); err != nil {
			return err
		}
		if err := c.CloseWrite(); err != nil {
			return err
		}
		return o.takeUp(c, buf)
	}
	return o.send(c, true, o.down, false, buf)
}

// takeUp receives what the client sends, and its end where it says one.
func (o order) takeUp(c *net.TCPConn, buf []byte) error {
	if err := o.receive(c, o.up, buf); err != nil {
		return err
	}
	if o.kind == clientEnds || o.kind == serverEnds {
		return wantsEnd(c)
	}
	return nil
}

// visit is the client's side.
func visit(addr string, local net.Addr, o order, buf []byte) error {
	d := net.Dialer{LocalAddr: local, Timeout: patience}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		return err
	}
	c := conn.(*net.TCPConn)
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if o.kind == slow {
		c.SetReadBuffer(16 << 10)
	}
	if _, err := c.Write(o.encode()); err != nil {
		return err
	}
	if o.kind != serverEnds {
		if err := o.giveUp(c, buf); err != nil {
			return err
		}
	}
	switch o.kind {
	case clientReset:
		_, err := io.CopyN(io.Discard, c, int64(o.down/2))
		return errors.Join(err, c.SetLinger(0))
	case serverReset:
		return wantsReset(c, int64(o.down/2))
	case slow:
		err = o.receive(&sleeper{c}, o.down, buf)
	default:
		err = o.receive(c, o.down, buf)
	}
	if err == nil {
		err = wantsEnd(c)
	}
	if err == nil && o.kind == serverEnds {
		err = o.giveUp(c, buf)
	}
	return err
}

// giveUp sends what the client has to send, and the end where there is one.
func (o order) giveUp(c *net.TCPConn, buf []byte) error {
	if err := o.send(c, false, o.up, false, buf); err != nil {
		return err
	}
	if o.kind == clientEnds || o.kind == serverEnds {
		return c.CloseWrite()
	}
	return nil
}

// wantsReset wants a connection to end with a reset, after most bytes at most.
func wantsReset(c *net.TCPConn, most int64) error {
	n, err := io.Copy(io.Discard, c)
	switch {
	case errors.Is(err, unix.ECONNRESET) && n <= most:
		return nil
	case err == nil:
		return fmt.Errorf("a reset became an end, after %d bytes", n)
	}
	return fmt.Errorf("after %d bytes of %d: %w, want a reset", n, most, err)
}

// sleeper rests while it reads.
type sleeper struct{ io.Reader }

func (s *sleeper) Read(b []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return s.Reader.Read(b[:min(len(b), 16<<10)])
}
