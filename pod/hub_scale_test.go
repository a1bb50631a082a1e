package pod

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// pss is the memory of this process, in KiB.
func pss(t testing.TB) (kib int) {
	t.Helper()
	data, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "\nPss:")
	fmt.Sscan(rest, &kib)
	return kib
}

// BenchmarkThousandServices has three pods behind each of 1,000 services, all in
// one process, and tells what they take and how soon a change is known to all.
func BenchmarkThousandServices(b *testing.B) {
	const services = 1000
	s := newStage(b)
	server := func() *Supervisor {
		sup, out := s.start(labelled(s.pod(box("a", "listen 0.0.0.0:8080 hi; hold")), "web"))
		out.await("a: listening", 1)
		return sup
	}
	server()
	server()
	before := pss(b)
	var text strings.Builder
	for i := range services {
		fmt.Fprintf(&text, `{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s%d"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}}`, i)
	}
	list := s.services(text.String())
	taken := pss(b) - before
	h, err := s.store.joinHub()
	if err != nil {
		b.Fatal(err)
	}
	defer h.leave()
	known := func() int {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.services[list[services-1].Service.Metadata.Name].ports[0].pool.Endpoints())
	}
	var seen, connected time.Duration
	for b.Loop() {
		third := server()
		if known() != 3 {
			b.Fatalf("%d endpoints when the third pod runs", known())
		}
		begin := time.Now()
		third.Stop(0)
		for known() != 2 {
			time.Sleep(100 * time.Microsecond)
		}
		seen += time.Since(begin)
		s.finish(third)
		begin = time.Now()
		for i := range 10 {
			if got := ask(b, list[i*services/10].Service.Spec.ClusterIP+":80", ""); got != "hi" {
				b.Fatalf("got %q", got)
			}
		}
		connected += time.Since(begin) / 10
	}
	b.ReportMetric(float64(taken), "KiB")
	b.ReportMetric(float64(seen.Microseconds())/float64(b.N)/1000, "ms/change")
	b.ReportMetric(float64(connected.Microseconds())/float64(b.N), "us/connection")
}
