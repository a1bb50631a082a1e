package results

import (
	"fmt"
	"html"
	"strings"
)

// The chart's measures, in its own units.
const (
	chartWidth = 760
	labelWidth = 230
	barHeight  = 20
	rowHeight  = 28
	headHeight = 44
	valueWidth = 150
)

const chartStyle = `<style>
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f; }
.title { font-weight: 600; font-size: 14px; }
.soft { fill: #57606a; }
.ours { fill: #4c9a2a; } .peer { fill: #8c959f; } .floor { fill: #c8cfd6; }
.spread { stroke: #24292f; stroke-width: 1.5; }
@media (prefers-color-scheme: dark) {
	text { fill: #e6edf3; }
	.soft { fill: #9198a1; }
	.ours { fill: #7cc653; } .peer { fill: #6e7681; } .floor { fill: #444c56; }
	.spread { stroke: #e6edf3; }
}
</style>
`

// Chart draws the medians of every table as bars, with a line from the 10th
// to the 90th percentile on each. A table has its own scale. The SVG has no
// background: it fits a light page and a dark one.
func Chart(tables []Table) string {
	height := 10
	for i := range tables {
		height += headHeight + rowHeight*len(tables[i].Rows)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="medians of the benchmarks">`+"\n",
		chartWidth, height)
	b.WriteString(chartStyle)
	y := 0
	for i := range tables {
		y = tables[i].chart(&b, y)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// chart draws t from y downwards and returns where it ends.
func (t *Table) chart(b *strings.Builder, y int) int {
	title := t.Title
	if t.More {
		title += " (more is better)"
	}
	fmt.Fprintf(b, `<text class="title" x="0" y="%d">%s</text>`+"\n", y+28, html.EscapeString(title))
	y += headHeight
	longest := 0.0
	for _, r := range t.Rows {
		longest = max(longest, Median(r.Runs), Quantile(r.Runs, 0.9))
	}
	if longest == 0 {
		longest = 1
	}
	scale := float64(chartWidth-labelWidth-valueWidth) / longest
	for i := range t.Rows {
		t.bar(b, &t.Rows[i], y, scale)
		y += rowHeight
	}
	return y
}

func (t *Table) bar(b *strings.Builder, r *Row, y int, scale float64) {
	class := "peer"
	switch {
	case strings.HasPrefix(r.Name, "floor"):
		class = "floor"
	case strings.Contains(r.Name, "peapod"):
		class = "ours"
	}
	width := Median(r.Runs) * scale
	low := labelWidth + Quantile(r.Runs, 0.1)*scale
	high := labelWidth + Quantile(r.Runs, 0.9)*scale
	middle := y + barHeight/2
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end">%s</text>`, labelWidth-8, middle+5, html.EscapeString(r.Name))
	fmt.Fprintf(b, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/>`, class, labelWidth, y, max(width, 1), barHeight)
	fmt.Fprintf(b, `<line class="spread" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/>`, low, middle, high, middle)
	value := t.Unit.Format(Median(r.Runs))
	if ratio := t.Ratio(r); ratio > 0 && r.Name != t.Base {
		value += fmt.Sprintf(" (%.2f)", ratio)
	}
	fmt.Fprintf(b, `<text class="soft" x="%.1f" y="%d">%s</text>`+"\n", max(high, labelWidth+width)+8, middle+5, value)
}
