package pod

import (
	"fmt"
	"strings"
	"testing"
)

func TestHostListeners(t *testing.T) {
	for _, tt := range []struct{ spec, hostPort, want string }{
		{`"ports": [{"port": 80}]`, "8080", "[::]:8080->80"},
		// A single port needs no name in the annotation, whether it has one or not.
		{`"ports": [{"port": 80, "name": "http"}]`, "127.0.0.1:8080", "127.0.0.1:8080->80"},
		{`"ports": [{"port": 80, "name": "http"}]`, "http=8080, 127.0.0.1:8081", "[::]:8080->80 127.0.0.1:8081->80"},
		{`"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]`, "b=[::1]:82", "[::1]:82->81"},
		{`"type": "NodePort", "ports": [{"port": 80, "nodePort": 30001}]`, "", "[::]:30001->80"},
		{`"type": "LoadBalancer", "loadBalancerIP": "10.0.0.1", "ports": [{"port": 80}]`, "", "10.0.0.1:80->80"},
		{`"externalIPs": ["10.0.0.2"], "ports": [{"port": 80}]`, "", "10.0.0.2:80->80"},
	} {
		annotations := ""
		if tt.hostPort != "" {
			annotations = fmt.Sprintf(`, "annotations": {"peapod.dev/host-port": %q}`, tt.hostPort)
		}
		m, err := ParseManifest("s.json", fmt.Appendf(nil, `{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"%s}, "spec": {%s}}`, annotations, tt.spec))
		if err != nil {
			t.Fatal(err)
		}
		s := m.Services[0]
		o, err := s.Options()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, l := range s.hostListeners(o) {
			got = append(got, fmt.Sprintf("%s->%d", l.addr, s.Spec.Ports[l.port].Port))
		}
		if text := strings.Join(got, " "); text != tt.want {
			t.Errorf("%s, %q: %q, want %q", tt.spec, tt.hostPort, text, tt.want)
		}
	}
}
