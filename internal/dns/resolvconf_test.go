package dns

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseResolvConf(t *testing.T) {
	for _, test := range []struct {
		text string
		want ResolvConf
	}{
		{"", ResolvConf{}},
		{"nameserver 1.1.1.1\nnameserver ::1\nnameserver fe80::1%eth0\n", ResolvConf{Nameservers: []netip.Addr{
			netip.MustParseAddr("1.1.1.1"), netip.MustParseAddr("::1"), netip.MustParseAddr("fe80::1%eth0"),
		}}},
		{"nameserver\nnameserver x\nnameserver 1.1.1.1 # one\n#nameserver 2.2.2.2\n;nameserver 3.3.3.3", ResolvConf{Nameservers: []netip.Addr{netip.MustParseAddr("1.1.1.1")}}},
		{"search a b\nsearch c. d.e . c\n", ResolvConf{Search: []string{"c", "d.e"}}},
		{"search a b\ndomain x y\n", ResolvConf{Search: []string{"x"}}},
		{"search .\n", ResolvConf{}},
		{"options ndots:2 edns0\n\toptions\ttrust-ad\r\n", ResolvConf{Options: []string{"ndots:2", "edns0", "trust-ad"}}},
	} {
		if got := ParseResolvConf([]byte(test.text)); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q: %+v, want %+v", test.text, got, test.want)
		}
	}
}

func TestClusterFirst(t *testing.T) {
	host := ParseResolvConf([]byte("nameserver 9.9.9.9\nsearch corp.example cluster.local. lab.example\noptions rotate ndots:1\n"))
	c := ClusterFirst(netip.MustParseAddr("127.96.0.10"), "shop", "Cluster.local.", host)
	got, left := c.Text()
	const want = "nameserver 127.96.0.10\nsearch shop.svc.cluster.local svc.cluster.local cluster.local corp.example lab.example\noptions ndots:5\n"
	if string(got) != want || left != nil {
		t.Errorf("%s, left out %q", got, left)
	}
}

// TestResolvConfLine: no search line is so long that musl does not read it.
func TestResolvConfLine(t *testing.T) {
	var host ResolvConf
	for i := range 20 {
		host.Search = append(host.Search, fmt.Sprintf("domain%02d.example.com", i))
	}
	c := ClusterFirst(netip.MustParseAddr("127.0.0.1"), "default", "cluster.local", host)
	text, left := c.Text()
	back := ParseResolvConf(text)
	if !slices.Equal(slices.Concat(back.Search, left), c.Search) || len(left) == 0 || len(back.Search) < 10 {
		t.Errorf("%q and %q", back.Search, left)
	}
	for line := range strings.Lines(string(text)) {
		if len(line) > 255 {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
}

func FuzzParseResolvConf(f *testing.F) {
	f.Add([]byte("nameserver 1.1.1.1\nsearch a b.c.\noptions ndots:5\n"))
	f.Add([]byte("search 0..\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c := ParseResolvConf(text)
		written, left := c.Text()
		again := ParseResolvConf(written)
		again.Search = append(again.Search, left...)
		if !reflect.DeepEqual(again, c) {
			t.Errorf("%+v\nwritten as %q\nread as %+v", c, written, again)
		}
	})
}

func TestHostServers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	h := &HostServers{Path: path}
	want := func(what string, list ...string) {
		t.Helper()
		h.mu.Lock()
		h.checked = time.Time{} // a second goes by
		h.mu.Unlock()
		var got []string
		for _, a := range h.Servers() {
			got = append(got, a.String())
		}
		if !slices.Equal(got, list) {
			t.Errorf("%s: %q, want %q", what, got, list)
		}
	}
	write := func(text string) {
		if err := os.WriteFile(path+"~", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+"~", path); err != nil {
			t.Fatal(err)
		}
	}
	want("no file", "127.0.0.1:53")
	write("nameserver 192.0.2.1\nnameserver fe80::1%eth0\n")
	want("first", "192.0.2.1:53", "[fe80::1%eth0]:53")
	write("nameserver 192.0.2.2\n")
	want("replaced", "192.0.2.2:53")
	write("nameserver 192.0.2.5\n")
	want("replaced by one of the same size", "192.0.2.5:53")
	os.Remove(path)
	want("gone", "192.0.2.5:53")
	write("search example.com\n")
	want("none named", "127.0.0.1:53")
	os.WriteFile(path, []byte("nameserver 192.0.2.3\n"), 0o644)
	want("written in place", "192.0.2.3:53")

	// Within a second it is not looked at.
	write("nameserver 192.0.2.4\n")
	h.checked = time.Now().Add(time.Hour)
	if got := h.Servers()[0].String(); got != "192.0.2.3:53" {
		t.Error(got)
	}
}
