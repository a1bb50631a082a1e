package networks

import (
	"errors"
	"net/netip"
	"testing"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func TestNumbered(t *testing.T) {
	for _, c := range []struct {
		subnet string
		n      int
		want   string
	}{
		{"10.213.0.0/22", 2, "10.213.0.2/22"},
		{"10.213.0.0/22", 259, "10.213.1.3/22"},
		{"fd00:1::/64", 259, "fd00:1::103/64"},
		{"192.168.7.128/25", 5, "192.168.7.133/25"},
	} {
		if got := numbered(prefix(c.subnet), c.n); got.String() != c.want {
			t.Errorf("number %d in %s: %s, want %s", c.n, c.subnet, got, c.want)
		}
	}
}

func TestHighest(t *testing.T) {
	for _, c := range []struct {
		subnets []netip.Prefix
		want    int
	}{
		{[]netip.Prefix{prefix("10.0.0.0/24")}, 254},
		{[]netip.Prefix{prefix("10.0.0.0/30"), prefix("fd00::/64")}, 2},
		{[]netip.Prefix{prefix("10.0.0.0/8"), prefix("fd00::/64")}, lastNumber},
		{[]netip.Prefix{prefix("fd00::/120")}, 255},
		{[]netip.Prefix{prefix("fd00::/126"), prefix("10.0.0.0/24")}, 3},
	} {
		got := highest(c.subnets)
		if got != c.want {
			t.Errorf("highest number in %v: %d, want %d", c.subnets, got, c.want)
		}
		for _, p := range c.subnets {
			if a := numbered(p, got); !p.Contains(a.Addr()) {
				t.Errorf("%s is not in %s", a, p)
			}
		}
	}
}

func TestHardware(t *testing.T) {
	a := hardware(netip.MustParseAddr("10.213.0.2"))
	if len(a) != 6 || a[0]&1 != 0 || a[0]&2 == 0 {
		t.Errorf("%x is not a local address of one station", a)
	}
	if string(a) == string(hardware(netip.MustParseAddr("10.213.0.3"))) {
		t.Error("two addresses share a hardware address")
	}
}

func TestLinkName(t *testing.T) {
	if n, ok := linkNumber("peapod0", linkName("peapod0", lastNumber)); !ok || n != lastNumber {
		t.Errorf("number %d, %v", n, ok)
	}
	if got := linkName("0123456789", lastNumber); len(got) > 15 {
		t.Errorf("%q is too long for a link", got)
	}
	for _, name := range []string{"peapod0-1", "peapod0-02", "peapod0-+2", "peapod0", "peapod1-2", "peapod0-4095", "peapod0-2x"} {
		if n, ok := linkNumber("peapod0", name); ok {
			t.Errorf("%q is taken for that of pod %d", name, n)
		}
	}
}

func TestChooseSubnet(t *testing.T) {
	for _, c := range []struct {
		used []netip.Prefix
		want string
	}{
		{nil, "10.213.0.0/22"},
		{[]netip.Prefix{prefix("10.213.1.0/24")}, "10.213.4.0/22"},
		{[]netip.Prefix{prefix("10.213.0.0/21"), prefix("10.213.8.7/32")}, "10.213.12.0/22"},
		{[]netip.Prefix{prefix("10.0.0.0/8")}, "192.168.128.0/22"},
		{[]netip.Prefix{prefix("10.0.0.0/8"), prefix("192.168.0.0/16")}, "172.30.0.0/22"},
	} {
		if got, err := chooseSubnet(c.used); err != nil || got.String() != c.want {
			t.Errorf("beside %v: %s, %v, want %s", c.used, got, err, c.want)
		}
	}
	if p, err := chooseSubnet(ranges); !errors.Is(err, ErrClash) {
		t.Errorf("no range is free: %s, %v", p, err)
	}
}
