package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A pod that has become ready is reached from pods of another command soon.
func TestServiceChangeIsSeen(t *testing.T) {
	s := runStack(t, namedManifest, "server", "client")
	other := runStack(t, strings.TrimPrefix(idle, "\n---"), "client")
	waiting := begin(t, command(t, "pod", "exec", other.of("client"), "--", "probe", "echo", "begun", ";", "reach", s.at("web", 80)))
	waiting.sees("begun")
	s.in("server", "create", "/tmp/ready")
	if code := waiting.status(); code != 0 {
		t.Fatalf("%d: %s", code, waiting.seen.String())
	}
	var reached int64
	fmt.Sscan(strings.TrimPrefix(waiting.sees("\n1"), "begun"), &reached)
	ready := s.readySince("server")
	took := time.UnixMicro(reached).Sub(ready)
	t.Logf("reached %v after it was ready", took)
	if took > 2*time.Second { // 50 ms on a machine that has nothing else to do
		t.Errorf("reached %v after it was ready", took)
	}
}

// readySince is when a pod became ready.
func (s *stack) readySince(pod string) time.Time {
	s.t.Helper()
	r := decode[struct {
		Status struct {
			Conditions []struct {
				Type, Status       string
				LastTransitionTime time.Time
			}
		}
	}](s.t, peapod(s.t, "pod", "inspect", s.of(pod)).ok())
	for _, c := range r.Status.Conditions {
		if c.Type == "Ready" && c.Status == "True" {
			return c.LastTransitionTime
		}
	}
	s.t.Fatalf("%s is not ready: %+v", pod, r)
	return time.Time{}
}
