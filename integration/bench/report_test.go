package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func runs(ms ...float64) []time.Duration {
	var all []time.Duration
	for _, v := range ms {
		all = append(all, time.Duration(v*1e6))
	}
	return all
}

func testReport() *report {
	o := &options{Rounds: 10, Runs: 20}
	r := newReport(o, &contenders{Options: o, Versions: map[string]string{"crun": "1.8.1", "peapod": "0.1"}})
	r.add(&stageOutput{
		Tables: []table{
			{Title: "Start & end", Text: "How.", Base: "crun run", Rows: []row{
				{Name: "peapod run", Runs: runs(3, 2, 4), Bar: 0.55},
				{Name: "peapod library", Runs: runs(4), Bar: 0.3},
				{Name: "crun run", Runs: runs(6, 6, 6)},
				{Name: "floor", Runs: runs(1)},
			}},
			{Title: "Pods", Text: "How.", Base: podmanName, Rows: []row{
				{Name: "peapod pod run -d", Runs: runs(9), Limit: 10 * time.Millisecond},
			}},
		},
		Figures: []figure{
			{"memory", 9, 8, "MiB", "PSS"},
			{"idle", 0, 0, "wake-ups", "in 10s"},
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

func TestChartIsXML(t *testing.T) {
	chart := testReport().chart()
	for d := xml.NewDecoder(strings.NewReader(chart)); ; {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in:\n%s", err, chart)
		}
	}
	for _, want := range []string{"Start &amp; end", `class="ours"`, `class="peer"`, `class="floor"`, "3.00 ms (0.50)"} {
		if !strings.Contains(chart, want) {
			t.Errorf("the chart has no %q", want)
		}
	}
}

func TestWriteReport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "docs")
	if err := testReport().write(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"benchmarks.md", "benchmarks.svg"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || len(b) == 0 {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
}

func TestQuantile(t *testing.T) {
	all := runs(5, 1, 4, 2, 3)
	for q, want := range map[float64]float64{0: 1, 0.1: 1, 0.5: 3, 0.9: 5, 1: 5} {
		if got := quantile(all, q); got != runs(want)[0] {
			t.Errorf("quantile %v is %v, want %v ms", q, got, want)
		}
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("quantile of nothing is %v", got)
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
