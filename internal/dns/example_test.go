package dns_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/peapod/peapod/internal/dns"
)

// A server for one service, asked by Go's resolver.
func Example() {
	ctx := context.Background()
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		panic(err)
	}
	server := &dns.Server{}
	server.SetZone(dns.NewTable([]*dns.Service{{
		Namespace: "default", Name: "web",
		Addresses: []netip.Addr{netip.MustParseAddr("127.96.0.1")},
		Ports:     []dns.Port{{Name: "http", Port: 80}},
	}}, nil))
	done := make(chan error)
	go func() { done <- server.Serve(ctx, udp, nil) }()

	client := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, udp.LocalAddr().String())
	}}
	fmt.Println(client.LookupNetIP(ctx, "ip4", "web.default.svc.cluster.local."))
	_, ports, err := client.LookupSRV(ctx, "http", "tcp", "web.default.svc.cluster.local.")
	fmt.Println(ports[0].Port, err)

	fmt.Println(server.Shutdown(ctx), <-done)
	// Output:
	// [127.96.0.1] <nil>
	// 80 <nil>
	// <nil> <nil>
}
