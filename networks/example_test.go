package networks_test

import (
	"context"
	"fmt"
	"log"

	"github.com/peapod/peapod/namespaces"
	"github.com/peapod/peapod/networks"
)

// A network namespace of its own gets a way out. It takes root.
func Example() {
	set, err := namespaces.Options{Loopback: true}.New(namespaces.Network)
	if err != nil {
		log.Fatal(err)
	}
	defer set.Close()
	network, err := networks.Parse("bridge:shop0,mtu=1400")
	if err != nil {
		log.Fatal(err)
	}
	a, err := networks.Attach(context.Background(), networks.Options{
		Network: network, Pod: "shop", Netns: set.File(namespaces.Network),
		StateDir: "/run/shop/networks", Do: namespaces.Do,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer a.Detach(context.Background())
	fmt.Println(a.Interface, a.Addresses, a.Gateways)
}

func ExampleParse() {
	for _, text := range []string{"bridge", "bridge:shop0,subnet=10.9.0.0/24", "bridge,mtu=7"} {
		fmt.Println(networks.Parse(text))
	}
	// Output:
	// bridge <nil>
	// bridge:shop0,subnet=10.9.0.0/24 <nil>
	// none read network "bridge,mtu=7": mtu 7: want 1280 to 65535
}
