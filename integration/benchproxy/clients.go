package main

import (
	"errors"
	"io"
	"net"
	"time"
)

// clients are open connections.
type clients []net.Conn

// perSource is how many connections have the same source address, so that the
// ports last.
const perSource = 5000

// open opens n more, each of which gets a request answered.
func (c *clients) open(addr string, n int) error {
	for range n {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+len(*c)/perSource))}, KeepAlive: -1, Timeout: 10 * time.Second}
		conn, err := d.Dial("tcp", addr)
		if err != nil {
			return err
		}
		*c = append(*c, conn)
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		if err := request(conn); err != nil {
			return err
		}
	}
	return nil
}

func request(c net.Conn) error {
	if _, err := io.WriteString(c, loadRequest); err != nil {
		return err
	}
	answer := make([]byte, len(response))
	if _, err := io.ReadFull(c, answer); err != nil {
		return err
	}
	if string(answer) != response {
		return errors.New("the answer is a wrong one")
	}
	return nil
}

func (c *clients) close() {
	for _, conn := range *c {
		conn.(*net.TCPConn).SetLinger(0) // nothing is left that holds the port
		conn.Close()
	}
}
