package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/peapod/peapod/integration/internal/results"
)

func runs(ms ...float64) []float64 {
	var all []float64
	for _, v := range ms {
		all = append(all, v*1e6)
	}
	return all
}

func testReport() *report {
	o := &options{Rounds: 10, Runs: 20}
	r := newReport(o, &contenders{Options: o, Versions: map[string]string{"crun": "1.8.1", "peapod": "0.1"}})
	r.add(&stageOutput{
		Tables: []results.Table{
			{Title: "Start & end", Text: "How.", Base: "crun run", Rows: []results.Row{
				{Name: "peapod run", Runs: runs(3, 2, 4), Bar: 0.55},
				{Name: "peapod library", Runs: runs(4), Bar: 0.3},
				{Name: "crun run", Runs: runs(6, 6, 6)},
				{Name: "floor", Runs: runs(1)},
			}},
			{Title: "Pods", Text: "How.", Base: podmanName, Rows: []results.Row{
				{Name: "peapod pod run -d", Runs: runs(9), Limit: 10e6},
			}},
		},
		Figures: []results.Figure{
			{Name: "memory", Value: 9, Bar: 8, Unit: "MiB", Text: "PSS"},
			{Name: "idle", Value: 0, Bar: 0, Unit: "wake-ups", Text: "in 10s"},
		},
		Notes: []string{"podman: it is not installed"},
	})
	return r
}

func TestMarkdown(t *testing.T) {
	page := testReport().markdown()
	for _, want := range []string{
		"| | median | p10 to p90 | runs | ratio to crun run | bar | |\n",
		"| peapod run | 3.00 ms | 2.00 ms to 4.00 ms | 3 | 0.50 | ≤ 0.55 | met |\n",
		"| peapod library | 4.00 ms | 4.00 ms to 4.00 ms | 1 | 0.67 | ≤ 0.30 | **not met** |\n",
		"| crun run | 6.00 ms | 6.00 ms to 6.00 ms | 3 | 1.00 |  |  |\n",
		"| peapod pod run -d | 9.00 ms | 9.00 ms to 9.00 ms | 1 |  | ≤ 10.0 ms | met |\n",
		"| memory | 9 MiB | ≤ 8 MiB | **not met** | PSS |\n",
		"| idle | 0 wake-ups | ≤ 0 wake-ups | met | in 10s |\n",
		"Compared: peapod 0.1, crun 1.8.1, and a floor in C.\n",
		"20 runs in a turn, 10 rounds",
		"Not measured, podman: it is not installed.\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q:\n%s", want, page)
		}
	}
	if strings.Contains(page, "-short`)") {
		t.Error("the page of a long run calls itself short")
	}
}

// A bundle is what runc spec writes, but for what the peers cannot do.
func TestBundleSpec(t *testing.T) {
	c := &contenders{Tmp: "/tmp/x", Spec: json.RawMessage(`{"ociVersion":"1.3.0","process":{"terminal":true,"cwd":"/"},
		"root":{"path":"rootfs","readonly":true},"linux":{"resources":{"devices":[{"allow":false}]},"namespaces":[{"type":"pid"}]}}`)}
	s, err := c.bundleSpec("/group/one", "/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	if s.Process.Terminal || s.Process.Args[0] != "/bin/true" || s.Root.Path != "/tmp/x/rootfs" || !s.Root.Readonly ||
		s.Linux.Resources != nil || s.Linux.CgroupsPath != "/group/one" {
		t.Errorf("spec %+v", s)
	}
	if got := s.Linux.Namespaces; len(got) != 2 || got[1].Type != specs.CgroupNamespace {
		t.Errorf("namespaces %+v", got)
	}
	dir := filepath.Join(t.TempDir(), "bundle")
	if err := writeBundle(dir, s); err != nil {
		t.Error(err)
	}
}
