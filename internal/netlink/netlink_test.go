package netlink

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func link(index int32) []byte {
	b := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	return b
}

func open(t *testing.T) *Conn {
	t.Helper()
	c, err := Open(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestAnswer(t *testing.T) {
	c := open(t)
	name := ""
	ask := New(unix.RTM_GETLINK, 0, link(0)).String(unix.IFLA_IFNAME, "lo")
	err := c.Get(ask, func(body []byte) {
		for typ, value := range Attributes(body[unix.SizeofIfInfomsg:]) {
			if typ == unix.IFLA_IFNAME {
				name = Text(value)
			}
		}
	})
	if err != nil || name != "lo" {
		t.Errorf("the kernel answers %q, %v", name, err)
	}
}

func TestDump(t *testing.T) {
	c := open(t)
	found := map[string]bool{}
	for range 2 { // the second dump meets nothing of the first
		clear(found)
		err := c.Get(New(unix.RTM_GETLINK, unix.NLM_F_DUMP, link(0)), func(body []byte) {
			for typ, value := range Attributes(body[unix.SizeofIfInfomsg:]) {
				if typ == unix.IFLA_IFNAME {
					found[Text(value)] = true
				}
			}
		})
		if err != nil || !found["lo"] {
			t.Errorf("links %v, %v", found, err)
		}
	}
}

// A refusal says which message it is about, and leaves nothing in the socket
// that the next exchange would take for its own.
func TestRefusal(t *testing.T) {
	c := open(t)
	ask := func(name string) *Message {
		return New(unix.RTM_GETLINK, 0, link(0)).String(unix.IFLA_IFNAME, name)
	}
	for range 3 {
		err := c.Do(ask("lo"), ask("none such"), ask("lo"))
		var refused *Error
		if !errors.As(err, &refused) || refused.Index != 1 || !errors.Is(err, unix.ENODEV) {
			t.Errorf("got %v, want ENODEV for message 1", err)
		}
		if err := c.Do(ask("lo"), ask("lo")); err != nil {
			t.Error(err)
		}
	}
}

// The kernel's own words come with its refusal.
func TestKernelsWords(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs CAP_NET_ADMIN")
	}
	m := New(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, link(0)).String(unix.IFLA_IFNAME, "bad/name")
	m.Nest(unix.IFLA_LINKINFO, func() { m.String(unix.IFLA_INFO_KIND, "none such") })
	err := open(t).Do(m)
	var refused *Error
	if !errors.As(err, &refused) || refused.Text == "" {
		t.Errorf("got %#v, want an errno with a text", err)
	}
}

func TestNest(t *testing.T) {
	m := New(1, 0, nil)
	m.Nest(5, func() { m.String(6, "ab").Uint8(7, 9) }).Uint32(8, 3)
	outer := maps.Collect(Attributes(m.data))
	if len(outer) != 2 || Number(outer[8]) != 3 {
		t.Fatalf("attributes %v", outer)
	}
	inner := maps.Collect(Attributes(outer[5]))
	if Text(inner[6]) != "ab" || !bytes.Equal(inner[7], []byte{9}) {
		t.Errorf("nested attributes %v", inner)
	}
}

func FuzzParse(f *testing.F) {
	m := New(unix.RTM_NEWLINK, unix.NLM_F_ACK, link(1))
	m.Nest(unix.IFLA_LINKINFO, func() { m.String(unix.IFLA_INFO_KIND, "veth") })
	f.Add(m.appendTo(nil, 1))
	f.Add(append(m.appendTo(nil, 1), m.appendTo(nil, 2)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		size := 0
		for h, body := range messages(data) {
			size += unix.SizeofNlMsghdr + len(body)
			verdict(h, body, 0)
			for typ, value := range Attributes(body) {
				if typ&unix.NLA_F_NESTED != 0 || len(value) > len(body) {
					t.Errorf("attribute %x of %d bytes", typ, len(value))
				}
			}
		}
		if size > len(data) {
			t.Errorf("messages of %d bytes in %d", size, len(data))
		}
	})
}
