package proxy_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"

	"github.com/peapod/peapod/proxy"
)

// nameServer answers each connection with a name.
func nameServer(name string) (*net.TCPListener, proxy.Endpoint) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, name)
			c.Close()
		}
	}()
	return l.(*net.TCPListener), proxy.Endpoint{ID: name, Addr: l.Addr().(*net.TCPAddr).AddrPort()}
}

// A pool is changed while a proxy uses it: here a replica is added. One that
// cannot be reached costs no client its connection.
func ExamplePool() {
	one, a := nameServer("web-0")
	defer one.Close()
	two, b := nameServer("web-1")
	defer two.Close()

	pool := proxy.NewPool(proxy.PoolOptions{Policy: proxy.RoundRobin})
	pool.Set([]proxy.Endpoint{a})

	p := &proxy.Proxy{}
	defer p.Close()
	front, err := p.Forward(context.Background(), "127.0.0.1:0", pool)
	if err != nil {
		log.Fatal(err)
	}
	ask := func() string {
		c, err := net.Dial("tcp", front.Addr().String())
		if err != nil {
			log.Fatal(err)
		}
		defer c.Close()
		answer, err := io.ReadAll(c)
		if err != nil {
			log.Fatal(err)
		}
		return string(answer)
	}
	fmt.Println("one replica:", ask(), ask())

	pool.Set([]proxy.Endpoint{a, b})
	answers := map[string]int{}
	for range 10 {
		answers[ask()]++
	}
	fmt.Println("two replicas:", answers)

	one.Close()
	fmt.Println("one is down:", ask(), ask(), ask())
	for _, e := range pool.Endpoints() {
		fmt.Println(e.ID, "is", e.State)
	}
	// Output:
	// one replica: web-0 web-0
	// two replicas: map[web-0:5 web-1:5]
	// one is down: web-1 web-1 web-1
	// web-0 is set aside
	// web-1 is ready
}

// UDP is forwarded to a pool too: each client has an endpoint of its own for as
// long as it talks.
func ExampleForwardUDP() {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	go func() {
		buf := make([]byte, 1500)
		n, client, err := server.ReadFrom(buf)
		if err == nil {
			server.WriteTo(fmt.Appendf(nil, "you said %q", buf[:n]), client)
		}
	}()

	pool := proxy.NewPool(proxy.PoolOptions{})
	pool.Set([]proxy.Endpoint{{ID: "dns-0", Addr: server.LocalAddr().(*net.UDPAddr).AddrPort()}})
	front, err := proxy.ForwardUDP(netip.MustParseAddrPort("127.0.0.1:0"), pool, proxy.UDPOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer front.Close()

	c, err := net.Dial("udp", front.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "hello")
	answer := make([]byte, 1500)
	n, err := c.Read(answer)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", answer[:n])
	// Output:
	// you said "hello"
}
