package networks

import (
	"errors"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]Spec{
		"none":          {Mode: None},
		"host":          {Mode: Host},
		"bridge":        {Mode: Bridge, Name: "peapod0"},
		"bridge:br-7.x": {Mode: Bridge, Name: "br-7.x"},
		"auto":          {Mode: Auto, Name: "peapod0"},
		"cni:podman":    {Mode: CNI, Name: "podman"},
	} {
		got, err := Parse(text)
		if err != nil || got.Mode != want.Mode || got.Name != want.Name {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
		if got.String() != text {
			t.Errorf("%q comes back as %q", text, got)
		}
	}
	text := "bridge:shop0,subnet=10.9.0.0/24,subnet=fd00:9::/64,mtu=1400"
	got, err := Parse(text)
	if err != nil || len(got.Subnets) != 2 || got.MTU != 1400 || got.String() != text {
		t.Errorf("%q: %+v, %v", text, got, err)
	}
}

func TestParseRefuses(t *testing.T) {
	for text, why := range map[string]string{
		"":                           "want none, host, bridge, auto, pasta, slirp4netns or cni:NAME",
		"briddge":                    "want none, host",
		"none:x":                     "none has no name",
		"host,mtu=1400":              "host has no details",
		"cni":                        "want cni:NAME",
		"cni:../x":                   "want cni:NAME",
		"bridge:":                    "name \"\" of a bridge",
		"bridge:a/b":                 "name \"a/b\"",
		"bridge:eleven-long":         "want 1 to 10 letters",
		"bridge,":                    "detail \"\"",
		"bridge,mtu=0":               "mtu \"0\"",
		"bridge,mtu=70000":           "want 1280 to 65535",
		"bridge,colour=red":          "want subnet=PREFIX",
		"bridge,subnet=10.9.0.1":     "want one such as",
		"bridge,subnet=10.9.0.1/24":  "10.9.0.0/24 has none",
		"bridge,subnet=10.9.0.0/31":  "no room",
		"bridge,subnet=127.0.0.0/24": "not of addresses",
		"bridge,subnet=fe80::/64":    "not of addresses",
		"bridge,subnet=10.9.0.0/24,subnet=10.8.0.0/24": "a second one",
		"bridge,subnet=::ffff:10.9.0.0/120":            "not an IPv4 or IPv6 prefix",
	} {
		_, err := Parse(text)
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v, want one with %q", text, err, why)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"none", "bridge", "cni:a", "bridge:b,subnet=10.9.0.0/24,subnet=fd00::/64,mtu=1400", "bridge,subnet=::ffff:1.2.3.0/124"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%q: %v is no ErrInvalid", text, err)
			}
			return
		}
		again, err := Parse(s.String())
		if err != nil || again.String() != s.String() {
			t.Errorf("%q comes back as %q: %v, %v", text, s, again, err)
		}
	})
}
