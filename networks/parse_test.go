package networks

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func FuzzRecord(f *testing.F) {
	f.Add([]byte("{\"mode\":\"bridge\",\"link\":\"peapod0-2\",\"hardware\":\"AgAAAAAB\",\"addresses\":[\"10.213.0.2/22\"]}\n"))
	f.Add([]byte("{\"mode\":\"cni\",\"cni\":{\"id\":\"a\",\"pluginDirs\":[\"/x\"],\"list\":{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[{\"type\":\"t\"}]}}}\n"))
	f.Add([]byte("{\"mode\":\"bri"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRecord(data)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%v is no ErrInvalid", err)
			}
			return
		}
		if r.Link != filepath.Base(r.Link) && r.Link != "" {
			t.Errorf("the link %q leads elsewhere", r.Link)
		}
		file, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if err := r.writeTo(file); err != nil {
			t.Fatal(err)
		}
		written, _ := os.ReadFile(file.Name())
		if again, err := parseRecord(written); err != nil || again.Link != r.Link {
			t.Errorf("%q comes back as %+v, %v", written, again, err)
		}
	})
}

// A record whose writer died is as good as none at each of its lengths.
func TestTornRecord(t *testing.T) {
	whole := []byte("{\"mode\":\"bridge\",\"link\":\"peapod0-2\"}\n")
	for i := range whole {
		if r, err := parseRecord(whole[:i]); err != nil || r.Link != "" {
			t.Errorf("%q: %+v, %v", whole[:i], r, err)
		}
	}
	if r, err := parseRecord(whole); err != nil || r.Link != "peapod0-2" {
		t.Errorf("%+v, %v", r, err)
	}
}

func FuzzKernel(f *testing.F) {
	f.Add(make([]byte, 16))
	f.Add([]byte{2, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 1, 0, 10, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		parseLink(data)
		if r, ok := parseRoute(data); ok && r.to.Bits() > r.to.Addr().BitLen() {
			t.Errorf("route to %v", r.to)
		}
		if p, _, ok := parseAddress(data); ok && !p.IsValid() {
			t.Errorf("address %v", p)
		}
	})
}

func FuzzPluginList(f *testing.F) {
	f.Add([]byte(`{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"bridge","ipam":{"type":"host-local"}}]}`))
	f.Add([]byte(`{"cniVersion":"0.4.0","name":"n","type":"loopback"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := parsePluginList(data)
		if err != nil {
			return
		}
		c := &pluginCall{list: l}
		for _, p := range l.Plugins {
			if filepath.Base(pluginType(p)) != pluginType(p) {
				t.Errorf("plugin %q leads elsewhere", pluginType(p))
			}
			if _, err := c.input(p, nil); err != nil {
				t.Errorf("plugin's input: %v", err)
			}
		}
	})
}

func FuzzResult(f *testing.F) {
	f.Add([]byte(`{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"/x","mtu":1400}],"ips":[{"address":"10.1.0.2/24","gateway":"10.1.0.1","interface":0}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseResult(data)
		if err != nil {
			return
		}
		r.mtu(inside)
		list, gateways := r.addresses(inside)
		for _, p := range list {
			if !p.IsValid() {
				t.Errorf("address %v", p)
			}
		}
		for _, g := range gateways {
			if !g.IsValid() {
				t.Errorf("gateway %v", g)
			}
		}
	})
}
