package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
)

const refusedManifest = `
apiVersion: v1
kind: Service
metadata: {name: X-web, annotations: {peapod.dev/host-port: "192.0.2.7:9001"}}
spec:
  type: NodePort
  selector: {app: X}
  externalIPs: [192.0.2.7]
  ports: [{port: 80, nodePort: 31235}]
---
apiVersion: v1
kind: Pod
metadata: {name: X-server, labels: {app: X}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: a
    image: IMAGE
    command: [probe, listen, "0.0.0.0:80", web, ;, hold]
    readinessProbe: {exec: {command: [probe, need, /tmp/ready]}, periodSeconds: 1, failureThreshold: 1}
`

// Where no pod is ready the host's addresses of a service refuse clients, as its own
// does, at once; the ports stay the service's.
func TestServiceHostRefuses(t *testing.T) {
	s := newStack(t, refusedManifest, "server")
	s.newHost("192.0.2.7")
	s.run()
	addresses := []string{"192.0.2.7:31235", "127.0.0.1:31235", "[::1]:31235", "192.0.2.7:80", "192.0.2.7:9001", s.at("web", 80)}
	hear := func(want string) {
		t.Helper()
		for _, addr := range addresses {
			testkit.Until(t, func() string {
				begun := time.Now()
				got := s.hears("", addr, "")
				if strings.HasSuffix(got, want) {
					return ""
				}
				return addr + ": " + got + " after " + time.Since(begun).String()
			})
		}
	}
	const refused = "connection refused"
	for _, addr := range addresses { // from the beginning
		if got := s.hears("", addr, ""); !strings.HasSuffix(got, refused) {
			t.Errorf("%s: %q", addr, got)
		}
	}
	for range 2 {
		s.in("server", "create", "/tmp/ready", "yes")
		s.receives("web", 1)
		hear("web")
		s.in("server", "unlink", "/tmp/ready")
		s.receives("web", 0)
		hear(refused)
	}
}
