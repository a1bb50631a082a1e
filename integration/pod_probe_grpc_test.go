package integration

import (
	"strings"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
)

// A pod is ready when its gRPC server says so, and a container whose server has
// ceased to serve is started again.
func TestGRPCProbe(t *testing.T) {
	s := runStack(t, `
apiVersion: v1
kind: Service
metadata: {name: X-web}
spec: {selector: {app: X}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: X-server, labels: {app: X}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: a
    image: IMAGE
    command: [probe, health, "127.0.0.1:50051", /tmp/status, ;, hold]
    readinessProbe: {grpc: {port: 50051}, periodSeconds: 1, failureThreshold: 1}
    livenessProbe: {grpc: {port: 50051, service: db}, initialDelaySeconds: 3, periodSeconds: 1, failureThreshold: 2}
`, "server")
	testkit.Until(t, func() string {
		if e := s.inspect("web").Endpoints; len(e) != 1 || !strings.Contains(e[0].Reason, "grpc health check of 127.0.0.1:50051: status NOT_SERVING") {
			return "no reason why it is not ready"
		}
		return ""
	})
	s.in("server", "create", "/tmp/status", "1")
	s.receives("web", 1)
	s.in("server", "create", "/tmp/status", "2")
	testkit.Until(t, func() string {
		text := peapod(t, "pod", "inspect", s.of("server")).ok()
		if !strings.Contains(text, `liveness probe failed 2 times: grpc health check of 127.0.0.1:50051 service \"db\": status NOT_SERVING`) {
			return "it was not started again: " + text
		}
		return ""
	})
}
