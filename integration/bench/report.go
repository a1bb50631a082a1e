package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/peapod/peapod/integration/internal/results"
)

// report is what is printed and written.
type report struct {
	options    *options
	contenders *contenders
	date       time.Time
	tables     []results.Table
	figures    []results.Figure
}

func newReport(o *options, c *contenders) *report {
	return &report{options: o, contenders: c, date: time.Now()}
}

func (r *report) add(out *stageOutput) {
	r.tables = append(r.tables, out.Tables...)
	r.figures = append(r.figures, out.Figures...)
	for _, note := range out.Notes {
		r.contenders.note("%s", note)
	}
}

func (r *report) markdown() string {
	var b strings.Builder
	b.WriteString("# Benchmarks\n\n")
	if r.options.Short {
		b.WriteString("**Few runs (`-short`): these times mean nothing.**\n\n")
	}
	fmt.Fprintf(&b, "Measured on %s, by `make bench`.\n\n", results.Machine(r.date))
	b.WriteString("![The medians as bars](benchmarks.svg)\n\n")
	for i := range r.tables {
		r.tables[i].Markdown(&b)
	}
	r.markdownFigures(&b)
	r.markdownReading(&b)
	return b.String()
}

func (r *report) markdownFigures(b *strings.Builder) {
	if len(r.figures) == 0 {
		return
	}
	b.WriteString("## Size\n\n| | | bar | | how |\n| --- | ---: | ---: | --- | --- |\n")
	for _, f := range r.figures {
		bar, met := "", ""
		if f.Bar > 0 || f.Unit == "wake-ups" {
			bar, met = fmt.Sprintf("≤ %g %s", f.Bar, f.Unit), results.Verdict(f.Value <= f.Bar)
		}
		fmt.Fprintf(b, "| %s | %.4g %s | %s | %s | %s |\n", f.Name, f.Value, f.Unit, bar, met, f.Text)
	}
	b.WriteString("\n")
}

const reading = `
The contenders run in turns, %d runs in a turn, %d rounds, after one round to
warm up that does not count. Times are taken by the harness with the monotonic
clock around fork, exec and wait of each command. Machines differ and this one
was not silent: read the ratios, which compare medians of the same minutes. The
spread is from the 10th to the 90th percentile.

All runtimes get the same bundle: a root with static busybox, and what
` + "`runc spec`" + ` writes (mount, pid, network, ipc, uts and cgroup namespaces; 7 mounts;
masked and read-only paths; three capabilities), without a terminal and without
linux.resources, which Debian's crun cannot apply where CAP_SYS_RESOURCE is
missing. The first tables are of a private mount namespace with a plain cgroup2
mount at /sys/fs/cgroup, since crun refuses hybrid cgroups; on a hybrid machine
those marked so have the machine's own hierarchies, and no crun. All keep their
state on a tmpfs, as /run is one on most hosts.

The floor is [a C program](../integration/bench/floor/floor.c) that makes the
same system calls from constants, with no checks: what is left above it is the
price of reading a spec, of safety, of state and of errors that say something.

## Repeat it

    sudo make bench                              # some minutes; writes this page
    sudo go run ./integration/bench -short       # a few seconds; only prints
    sudo go run ./integration/bench -rounds 30   # more of everything

It needs Go and a C compiler (for runc, which it builds from the version in
go.mod, and for the floor), busybox-static and crun; podman is measured where it
is installed. Everything that it makes is removed at the end.
`

func (r *report) markdownReading(b *strings.Builder) {
	b.WriteString("## How to read it\n\nCompared: ")
	var names []string
	for _, name := range []string{"peapod", "crun", "runc", "podman"} {
		if v, ok := r.contenders.Versions[name]; ok {
			names = append(names, name+" "+v)
		}
	}
	b.WriteString(strings.Join(names, ", ") + ", and a floor in C.\n")
	fmt.Fprintf(b, reading, r.options.Runs, r.options.Rounds)
	for _, note := range r.contenders.Notes {
		fmt.Fprintf(b, "\nNot measured, %s.\n", note)
	}
}

// binary adds the size of the binary and the time of its smallest command.
func (r *report) binary(ctx context.Context, c *contenders) error {
	if c.Peapod == "" {
		return nil
	}
	size, text, err := strippedSize(ctx, c)
	if err != nil {
		return err
	}
	r.figures = append(r.figures, results.Figure{Name: "binary", Value: float64(size) / (1 << 20), Bar: 12, Unit: "MiB", Text: text})
	run, err := newRunner(c.Tmp)
	if err != nil {
		return err
	}
	defer run.close()
	version := &contender{name: "version", once: func(context.Context) (time.Duration, error) {
		return run.time("/", c.Peapod, "--version")
	}}
	var t results.Table
	if err := measure(ctx, r.options, &t, []*contender{version}); err != nil {
		return err
	}
	runs := t.Rows[0].Runs
	r.figures = append(r.figures, results.Figure{Name: "peapod --version", Value: results.Median(runs) / 1e6, Bar: 3, Unit: "ms",
		Text: fmt.Sprintf("median of %d runs", len(runs))})
	return nil
}

// strippedSize is the size of the binary without symbols, which strip(1)
// removes from a copy.
func strippedSize(ctx context.Context, c *contenders) (int64, string, error) {
	path, text := filepath.Join(c.Tmp, "stripped"), "bytes of the file without symbols"
	if _, err := output(ctx, "/", "strip", "-o", path, c.Peapod); err != nil {
		path, text = c.Peapod, "bytes of the file as it is: strip is missing"
	}
	st, err := os.Stat(path)
	if err != nil {
		return 0, "", err
	}
	return st.Size(), text, nil
}
