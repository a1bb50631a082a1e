package networks

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/netlink"
)

// inside is the name of a pod's interface in its own network namespace.
const inside = "eth0"

// podEnd is a pod's network namespace as seen from within.
type podEnd struct {
	conn *netlink.Conn
	ipv6 bool
}

// enter opens a connection in the namespace, and prepares what new links there
// are like.
func enter(netns *os.File, do func(*os.File, func() error) error) (*podEnd, error) {
	e := &podEnd{}
	err := do(netns, func() (err error) {
		if e.conn, err = netlink.Open(unix.NETLINK_ROUTE); err != nil {
			return fail("speak to", "the pod's network namespace", err)
		}
		if e.ipv6 = hasIPv6(); e.ipv6 {
			return trustNoRouter("default")
		}
		return nil
	})
	if err != nil && e.conn != nil {
		e.conn.Close()
	}
	return e, err
}

// furnish gives the pod's interface its addresses and the routes by the
// gateways.
func (e *podEnd) furnish(addresses, gateways []netip.Prefix) error {
	l, err := findLink(e.conn, linkNamed(inside))
	if err != nil {
		return fail("find", "the pod's interface "+inside, err)
	}
	list, what := []*netlink.Message{setUp(l.index)}, []string{"set up"}
	for _, p := range addresses {
		list, what = append(list, addAddress(l.index, p)), append(what, "give the address "+p.String()+" to")
	}
	for _, p := range gateways {
		list, what = append(list, addRoute(l.index, p.Addr())), append(what, "make "+p.Addr().String()+" the default gateway of")
	}
	err = e.conn.Do(list...)
	if refused, ok := errors.AsType[*netlink.Error](err); ok {
		return fail(what[refused.Index], "the pod's interface "+inside, err)
	}
	return fail("furnish", "the pod's interface "+inside, err)
}

// usable leaves out the addresses of a family that the pod does not have.
func (e *podEnd) usable(list []netip.Prefix) (some []netip.Prefix, err error) {
	for _, p := range list {
		if p.Addr().Is4() || e.ipv6 {
			some = append(some, p)
		}
	}
	if len(some) == 0 {
		return nil, fail("give addresses to", "the pod", &unsupported{"IPv6 is switched off in the pod, and the bridge has no IPv4", fmt.Errorf("subnets %v", list)})
	}
	return some, nil
}
