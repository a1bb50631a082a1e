package main

import (
	"errors"
	"io"
	"net"
)

// relayMain is `benchproxy -relay LISTEN BACKEND`, or more such pairs: the proxy that
// everybody would write in Go.
func relayMain(args []string) error {
	if len(args) == 0 || len(args)%2 != 0 {
		return errors.New("usage: -relay LISTEN BACKEND [LISTEN BACKEND]")
	}
	failed := make(chan error)
	for i := 0; i < len(args); i += 2 {
		l, err := net.Listen("tcp", args[i])
		if err != nil {
			return err
		}
		go func() { failed <- relayAll(l, args[i+1]) }()
	}
	return <-failed
}

func relayAll(l net.Listener, to string) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go relay(c.(*net.TCPConn), to)
	}
}

func relay(client *net.TCPConn, to string) {
	defer client.Close()
	c, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer c.Close()
	backend := c.(*net.TCPConn)
	done := make(chan struct{})
	go func() {
		io.Copy(client, backend)
		client.CloseWrite()
		close(done)
	}()
	io.Copy(backend, client)
	backend.CloseWrite()
	<-done
}
