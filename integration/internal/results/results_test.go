package results

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func tables() []Table {
	return []Table{
		{Title: "Start & end", Text: "How.", Base: "crun run", Rows: []Row{
			{Name: "peapod run", Runs: []float64{3e6, 2e6, 4e6}, Bar: 0.55},
			{Name: "crun run", Runs: []float64{6e6}},
			{Name: "floor", Runs: []float64{1e6}},
		}},
		{Title: "Requests", Text: "How.", Unit: Rate, More: true, Base: "nginx", Rows: []Row{
			{Name: "peapod", Runs: []float64{55000}, Bar: 1.1},
			{Name: "peapod, elsewhere", Runs: []float64{50000}, Base: "peapod", Bar: 0.95},
			{Name: "nginx", Runs: []float64{50000}},
			{Name: "slow", Runs: []float64{999}, Limit: 1000},
			{Name: "both", Runs: []float64{60000}, Bar: 1.2, Limit: 60001},
		}},
	}
}

func TestMarkdown(t *testing.T) {
	var b strings.Builder
	for _, table := range tables() {
		table.Markdown(&b)
	}
	for _, want := range []string{
		"| | median | p10 to p90 | runs | ratio to crun run | bar | |\n",
		"| peapod run | 3.00 ms | 2.00 ms to 4.00 ms | 3 | 0.50 | ≤ 0.55 | met |\n",
		"| crun run | 6.00 ms | 6.00 ms to 6.00 ms | 1 | 1.00 |  |  |\n",
		"| peapod | 55,000 /s | 55,000 /s to 55,000 /s | 1 | 1.10 | ≥ 1.10 | met |\n",
		"| peapod, elsewhere | 50,000 /s | 50,000 /s to 50,000 /s | 1 | 0.91 of peapod | ≥ 0.95 | **not met** |\n",
		"| slow | 999 /s | 999 /s to 999 /s | 1 | 0.02 | ≥ 1,000 /s | **not met** |\n",
		"| both | 60,000 /s | 60,000 /s to 60,000 /s | 1 | 1.20 | ≥ 1.20 and ≥ 60,001 /s | **not met** |\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the page has no %q:\n%s", want, b.String())
		}
	}
}

func TestChartIsXML(t *testing.T) {
	chart := Chart(append(tables(), Table{Title: "nothing", Rows: []Row{{Name: "x"}}}))
	for d := xml.NewDecoder(strings.NewReader(chart)); ; {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in:\n%s", err, chart)
		}
	}
	for _, want := range []string{"Start &amp; end", `class="ours"`, `class="peer"`, `class="floor"`, "3.00 ms (0.50)", "55,000 /s (1.10)"} {
		if !strings.Contains(chart, want) {
			t.Errorf("the chart has no %q", want)
		}
	}
	if strings.Contains(chart, "NaN") {
		t.Error("the chart has a bar of no length")
	}
}

func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "docs")
	if err := Write(dir, "x", "page", "chart"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"x.md": "page", "x.svg": "chart"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
}

func TestQuantile(t *testing.T) {
	all := []float64{5, 1, 4, 2, 3}
	for q, want := range map[float64]float64{0: 1, 0.1: 1, 0.5: 3, 0.9: 5, 1: 5} {
		if got := Quantile(all, q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if got := Quantile(nil, 0.5); got != 0 {
		t.Errorf("quantile of nothing is %v", got)
	}
}

func TestFormat(t *testing.T) {
	for want, got := range map[string]string{
		"12.3 µs":      Time.Format(12345),
		"0.12 ms":      Time.Format(123456),
		"123 µs":       Short.Format(123456),
		"123 ms":       Time.Format(123456789),
		"1,234,568 /s": Rate.Format(1234567.8),
		"999 /s":       Rate.Format(999),
		"9.87 Gbit/s":  Gbits.Format(9.87),
		"512 bytes":    Bytes.Format(512),
		"2.00 KiB":     Bytes.Format(2048),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
