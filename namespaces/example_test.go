package namespaces_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"os"

	"github.com/peapod/peapod/namespaces"
)

// A network namespace with a server inside, which nobody outside can reach,
// without a process or a network interface in it.
func Example() {
	set, err := namespaces.Options{Hostname: "web", Loopback: true}.New(namespaces.Network, namespaces.UTS)
	if err != nil {
		log.Fatal(err)
	}
	defer set.Close()

	err = namespaces.Do(set.File(namespaces.UTS), func() error {
		name, err := os.Hostname()
		fmt.Println("host name inside:", name)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}

	addr := netip.MustParseAddrPort("127.0.0.1:80")
	l, err := namespaces.Listen(context.Background(), set.File(namespaces.Network), addr)
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err == nil {
			io.WriteString(c, "hello from inside")
			c.Close()
		}
	}()

	c, err := namespaces.Dial(context.Background(), set.File(namespaces.Network), "tcp", addr)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	answer, _ := io.ReadAll(c.(*net.TCPConn))
	fmt.Printf("%s\n", answer)
	// Output:
	// host name inside: web
	// hello from inside
}

func ExampleOpen() {
	f, err := namespaces.Open(namespaces.Network, "/proc/self/ns/uts")
	fmt.Println(f, err)
	// Output:
	// <nil> open /proc/self/ns/uts: wrong kind of namespace: it is a uts namespace, wanted a network namespace
}
