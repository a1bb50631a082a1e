package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// report is what is printed and written.
type report struct {
	options    *options
	contenders *contenders
	date       time.Time
	tables     []table
	figures    []figure
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

// write puts the page and its chart into dir; each replaces the old one whole.
func (r *report) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, content := range map[string]string{"benchmarks.md": r.markdown(), "benchmarks.svg": r.chart()} {
		part := filepath.Join(dir, name+".part")
		if err := os.WriteFile(part, []byte(content), 0o644); err != nil {
			return err
		}
		if err := os.Rename(part, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func (r *report) markdown() string {
	var b strings.Builder
	b.WriteString("# Benchmarks\n\n")
	if r.options.Short {
		b.WriteString("**Few runs (`-short`): these times mean nothing.**\n\n")
	}
	fmt.Fprintf(&b, "Measured on %s on %s, %d processors, Linux %s, by `make bench`.\n\n",
		r.date.UTC().Format("2 January 2006"), processor(), runtime.NumCPU(), kernel())
	b.WriteString("![The medians as bars](benchmarks.svg)\n\n")
	for i := range r.tables {
		r.tables[i].markdown(&b)
	}
	r.markdownFigures(&b)
	r.markdownReading(&b)
	return b.String()
}

func (t *table) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "## %s\n\n%s\n\n", t.Title, t.Text)
	ratio := "ratio to " + t.Base
	if !t.hasBase() {
		ratio = "ratio"
	}
	fmt.Fprintf(b, "| | median | p10 to p90 | runs | %s | bar | |\n| --- | ---: | ---: | ---: | ---: | ---: | --- |\n", ratio)
	for i := range t.Rows {
		row := &t.Rows[i]
		shown, bar, met := "", "", ""
		got := t.ratio(row)
		if got > 0 {
			shown = fmt.Sprintf("%.2f", got)
		}
		switch m := median(row.Runs); {
		case row.Limit > 0:
			bar, met = "≤ "+milliseconds(row.Limit), verdict(m <= row.Limit)
		case row.Bar > 0 && got > 0:
			bar, met = fmt.Sprintf("≤ %.2f", row.Bar), verdict(got <= row.Bar)
		}
		fmt.Fprintf(b, "| %s | %s | %s to %s | %d | %s | %s | %s |\n", row.Name, milliseconds(median(row.Runs)),
			milliseconds(quantile(row.Runs, 0.1)), milliseconds(quantile(row.Runs, 0.9)), len(row.Runs), shown, bar, met)
	}
	b.WriteString("\n")
}

func (t *table) hasBase() bool {
	for _, r := range t.Rows {
		if r.Name == t.Base {
			return true
		}
	}
	return false
}

func (r *report) markdownFigures(b *strings.Builder) {
	if len(r.figures) == 0 {
		return
	}
	b.WriteString("## Size\n\n| | | bar | | how |\n| --- | ---: | ---: | --- | --- |\n")
	for _, f := range r.figures {
		bar, met := "", ""
		if f.Bar > 0 || f.Unit == "wake-ups" {
			bar, met = fmt.Sprintf("≤ %g %s", f.Bar, f.Unit), verdict(f.Value <= f.Bar)
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

func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "of unknown version"
	}
	return string(bytes.TrimRight(u.Release[:], "\x00"))
}

// processor is the name that /proc/cpuinfo gives; arm64's has none.
func processor() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return runtime.GOARCH
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
	r.figures = append(r.figures, figure{"binary", float64(size) / (1 << 20), 12, "MiB", text})
	run, err := newRunner(c.Tmp)
	if err != nil {
		return err
	}
	defer run.close()
	version := &contender{name: "version", once: func(context.Context) (time.Duration, error) {
		return run.time("/", c.Peapod, "--version")
	}}
	var t table
	if err := measure(ctx, r.options, &t, []*contender{version}); err != nil {
		return err
	}
	runs := t.Rows[0].Runs
	r.figures = append(r.figures, figure{"peapod --version", float64(median(runs)) / 1e6, 3, "ms",
		fmt.Sprintf("median of %d runs", len(runs))})
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
