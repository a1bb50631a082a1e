package pod

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// What a service asks for, on a machine that has IPv6 and on one that has not.
func TestServiceFamilies(t *testing.T) {
	six := errors.New("IPv6 is switched off")
	for _, tt := range []struct{ spec, ranges, with, without string }{
		{``, ``, "127.96", "127.96"},
		{`ipFamilies: [IPv6]`, ``, "fd70", "test.yaml:2:"},
		{`ipFamilyPolicy: PreferDualStack`, ``, "127.96 fd70", "127.96"},
		{`ipFamilyPolicy: RequireDualStack`, ``, "127.96 fd70", "spec.ipFamilyPolicy: IPv6 is switched off"},
		{`ipFamilies: [IPv6, IPv4]`, ``, "fd70 127.96", "spec.ipFamilies: IPv6 is switched off"},
		{`clusterIP: "fd70:6561:706f:6400::7"`, ``, "fd70", "spec.clusterIP: IPv6 is switched off"},
		{`clusterIPs: [10.96.0.7], ipFamilyPolicy: PreferDualStack`, `10.96.0.0/16`, "10.96 fd70", "10.96"},
		{`clusterIP: 127.96.0.7`, `10.96.0.0/16`, "127.96", "127.96"},
		{``, `10.96.0.0/16`, "10.96", "10.96"},
		{``, `fd00:96::/112`, "fd00", "IPv6 is switched off"},
		{``, `fd00:96::/112,10.96.0.0/16`, "fd00", "IPv6 is switched off"},
		{`ipFamilies: [IPv4]`, `fd00:96::/112,10.96.0.0/16`, "10.96", "10.96"},
		{`clusterIP: 10.97.0.7`, `10.96.0.0/16`, "spec.clusterIP: 10.97.0.7 is not one of 10.96.0.0/16", "test.yaml:2:"},
		{`clusterIP: 10.96.0.7`, ``, "spec.clusterIP: 10.96.0.7 is not one of 127.96.0.0/16", "test.yaml:2:"},
	} {
		store := &Store{}
		for text := range strings.SplitSeq(tt.ranges, ",") {
			if text != "" {
				store.ServiceRanges = append(store.ServiceRanges, netip.MustParsePrefix(text))
			}
		}
		m := parseServices(t, "---\n"+`{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {ports: [{port: 80}], `+tt.spec+`}}`)
		for i, want := range []string{tt.with, tt.without} {
			a := newAllocator(nil, store.serviceRanges(), func(p netip.Prefix) error {
				if i == 1 && p.Addr().Is6() {
					return six
				}
				return nil
			})
			s, err := a.choose(m.Services[0])
			got := fmt.Sprint(err)
			if err == nil {
				got = shortened(s)
			}
			if got != want && (err == nil || !strings.Contains(got, want)) {
				t.Errorf("%s of %q: %q, want %q", tt.spec, tt.ranges, got, want)
			}
			if err == nil && (len(s.Spec.ClusterIPs) == 0 || s.Spec.ClusterIP != s.Spec.ClusterIPs[0]) {
				t.Errorf("%s of %q: %+v", tt.spec, tt.ranges, s.Spec)
			}
		}
	}
}

// shortened is where a service's addresses begin.
func shortened(s *Service) string {
	var list []string
	for _, ip := range s.addresses() {
		if ip.Is4() {
			list = append(list, strings.Join(strings.Split(ip.String(), ".")[:2], "."))
		} else {
			list = append(list, ip.String()[:4])
		}
	}
	return strings.Join(list, " ")
}

// A changed service keeps the addresses that it still is to have.
func TestServiceKeepsAddresses(t *testing.T) {
	parse := func(spec string) *Service {
		return parseServices(t, "---\n"+`{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {ports: [{port: 80}], `+spec+`}}`).Services[0]
	}
	before := parse(`clusterIPs: [127.96.0.7, "fd70:6561:706f:6400::7"]`)
	for spec, want := range map[string]string{
		``: "[127.96.0.7]", `ipFamilyPolicy: PreferDualStack`: "[127.96.0.7 fd70:6561:706f:6400::7]", `ipFamilies: [IPv6]`: "[]",
		`clusterIP: 127.96.0.8`: "[127.96.0.8]", `clusterIP: None`: "[None]",
	} {
		if got := fmt.Sprint(parse(spec).keeping(before).Spec.ClusterIPs); got != want {
			t.Errorf("%s: %s, want %s", spec, got, want)
		}
	}
}

func TestCheckServiceRanges(t *testing.T) {
	for text, want := range map[string]string{
		"10.96.0.0/16": "", "10.96.0.0/16 fd00::/112": "", "127.96.128.0/17": "", "100.64.0.0/10": "",
		"10.96.0.1/16": "write 10.96.0.0/16", "10.0.0.0/7": "length", "0.0.0.0/0": "length", "10.96.0.0/31": "length", "fd00::/127": "length",
		"127.0.0.0/16": "only 127.96.0.0/16", "127.97.0.0/16": "only", "::1/120": "write", "224.0.0.0/8": "no addresses of hosts", "fe80::/64": "no addresses of hosts",
		"169.254.0.0/16": "no addresses of hosts", "0.0.0.0/8": "no addresses of hosts", "240.0.0.0/8": "no addresses of hosts",
		"10.96.0.0/16 10.97.0.0/16": "one of the family already", "::ffff:10.96.0.0/112": "no range",
	} {
		var list []netip.Prefix
		for field := range strings.FieldsSeq(text) {
			list = append(list, netip.MustParsePrefix(field))
		}
		if err := CheckServiceRanges(list); fmt.Sprint(err) != "<nil>" && want == "" || want != "" && !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
