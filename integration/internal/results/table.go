package results

import (
	"fmt"
	"strings"
)

// Table is a group of rows that were measured in turns.
type Table struct {
	Title, Text string
	Unit        Unit
	More        bool   // more is better
	Base        string // the row that ratios refer to
	Rows        []Row
}

// Row is one row of a table when it was measured. What has peapod in its name
// is ours, what begins with floor is the least that is possible.
type Row struct {
	Name  string
	Runs  []float64 // in the table's unit
	Base  string    // the row that its ratio refers to; "": the table's
	Bar   float64   // of the ratio of medians: the largest, or with More the smallest; 0: none
	Limit float64   // of the median, likewise; 0: none
}

// Ratio is that of r's median to its base's, 0 when either is missing.
func (t *Table) Ratio(r *Row) float64 {
	name := r.Base
	if name == "" {
		name = t.Base
	}
	for i := range t.Rows {
		if base := Median(t.Rows[i].Runs); t.Rows[i].Name == name && base > 0 {
			return Median(r.Runs) / base
		}
	}
	return 0
}

// ratioText is how a ratio is shown: with the row that it refers to, if that is
// not the table's.
func (t *Table) ratioText(r *Row) string {
	ratio := t.Ratio(r)
	switch {
	case ratio == 0:
		return ""
	case r.Base != "":
		return fmt.Sprintf("%.2f of %s", ratio, r.Base)
	}
	return fmt.Sprintf("%.2f", ratio)
}

// Markdown writes the table with its title.
func (t *Table) Markdown(b *strings.Builder) {
	fmt.Fprintf(b, "## %s\n\n%s\n\n", t.Title, t.Text)
	ratio := "ratio to " + t.Base
	if !t.hasBase() {
		ratio = "ratio"
	}
	fmt.Fprintf(b, "| | median | p10 to p90 | runs | %s | bar | |\n| --- | ---: | ---: | ---: | ---: | ---: | --- |\n", ratio)
	for i := range t.Rows {
		r := &t.Rows[i]
		bar, met := t.verdict(r)
		fmt.Fprintf(b, "| %s | %s | %s to %s | %d | %s | %s | %s |\n", r.Name, t.Unit.Format(Median(r.Runs)),
			t.Unit.Format(Quantile(r.Runs, 0.1)), t.Unit.Format(Quantile(r.Runs, 0.9)), len(r.Runs), t.ratioText(r), bar, met)
	}
	b.WriteString("\n")
}

// verdict returns the row's bars and whether they are met, both "" without one.
func (t *Table) verdict(r *Row) (bar, met string) {
	sign := "≤ "
	if t.More {
		sign = "≥ "
	}
	meets := func(value, bar float64) bool { return value == bar || (value > bar) == t.More }
	var bars []string
	all := true
	if got := t.Ratio(r); r.Bar > 0 && got > 0 {
		bars, all = append(bars, fmt.Sprintf("%s%.2f", sign, r.Bar)), meets(got, r.Bar)
	}
	if r.Limit > 0 {
		bars, all = append(bars, sign+t.Unit.Format(r.Limit)), all && meets(Median(r.Runs), r.Limit)
	}
	if len(bars) == 0 {
		return "", ""
	}
	return strings.Join(bars, " and "), Verdict(all)
}

func (t *Table) hasBase() bool {
	for _, r := range t.Rows {
		if r.Name == t.Base {
			return true
		}
	}
	return false
}

// Verdict says whether a bar is met.
func Verdict(met bool) string {
	if met {
		return "met"
	}
	return "**not met**"
}

// Figure is a single number with what it should be at most.
type Figure struct {
	Name  string
	Value float64
	Bar   float64 // 0: none
	Unit  string
	Text  string // how it was measured
}
