package proxy_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"

	"github.com/peapod/peapod/proxy"
)

// A backend, a proxy before it, and a client that talks to the backend through
// the proxy.
func Example() {
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer backend.Close()
	go func() {
		c, err := backend.Accept()
		if err == nil {
			request, _ := io.ReadAll(c) // until the client's half-close
			fmt.Fprintf(c, "you said %q", request)
			c.Close()
		}
	}()

	p := &proxy.Proxy{}
	front, err := p.Forward(context.Background(), "127.0.0.1:0", proxy.To(backend.Addr().(*net.TCPAddr).AddrPort()))
	if err != nil {
		log.Fatal(err)
	}

	c, err := net.Dial("tcp", front.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(c, "hello")
	c.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(c)
	c.Close()
	fmt.Printf("%s\n", answer)

	if err := p.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
	fmt.Println("connections:", p.Stats().Accepted)
	// Output:
	// you said "hello"
	// connections: 1
}
