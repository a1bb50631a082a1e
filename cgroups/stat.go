package cgroups

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Stat reads what the group has used. The error is ErrNotExist when it is gone.
func (g *Group) Stat() (*Stats, error) {
	s := &Stats{Hugetlb: map[string]HugetlbStats{}}
	r := &statReader{}
	for _, f := range []func(*statReader, *Stats){g.statCPU, g.statCPUSet, g.statMemory, g.statPids, g.statBlock, g.statHugetlb} {
		f(r, s)
	}
	if r.err != nil {
		return nil, failed("read "+r.name, g.path, hint(r.err))
	}
	if !exists(g.main()) {
		return nil, failed("read statistics", g.path, ErrNotExist)
	}
	return s, nil
}

// dirTwo is the group in v2, dirOne that in the hierarchy of a controller of v1;
// "" where there is none.
func (g *Group) dirTwo() string {
	if g.host.unified == "" {
		return ""
	}
	return g.host.unified + g.path
}

func (g *Group) dirOne(controller string) string {
	if l := g.host.find(controller); l != nil {
		return l.dir + g.path
	}
	return ""
}

// statReader reads files and keeps the first error. A file that is not there has
// nothing to tell: kernels differ, and groups go.
type statReader struct {
	name string
	err  error
}

func (r *statReader) text(dir, file string) string {
	if dir == "" || r.err != nil {
		return ""
	}
	text, err := readList(dir + "/" + file)
	switch {
	case err == nil:
		return text
	// EOPNOTSUPP: pressure that is switched off.
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.EOPNOTSUPP):
		return ""
	}
	r.name, r.err = dir+"/"+file, err
	return ""
}

// number reads a file of one number; max is the greatest.
func (r *statReader) number(dir, file string) uint64 {
	return r.parse(dir, file, strings.TrimSpace(r.text(dir, file)))
}

func (r *statReader) parse(dir, file, text string) uint64 {
	switch text {
	case "":
		return 0
	case "max":
		return math.MaxUint64
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil && r.err == nil {
		r.name, r.err = dir+"/"+file, fmt.Errorf("unexpected content %q", text)
	}
	return n
}

// numbers reads a list in one line.
func (r *statReader) numbers(dir, file string) (list []uint64) {
	for field := range strings.FieldsSeq(r.text(dir, file)) {
		list = append(list, r.parse(dir, file, field))
	}
	return list
}

// keys reads lines of "key number".
func (r *statReader) keys(dir, file string) map[string]uint64 {
	m := map[string]uint64{}
	for line := range strings.Lines(r.text(dir, file)) {
		if f := strings.Fields(line); len(f) == 2 {
			m[f[0]] = r.parse(dir, file, f[1])
		}
	}
	return m
}

// pressure reads lines of "some avg10=0.00 avg60=0.00 avg300=0.00 total=0".
func (r *statReader) pressure(dir, file string) *Pressure {
	text := r.text(dir, file)
	if text == "" {
		return nil
	}
	p := &Pressure{}
	for line := range strings.Lines(text) {
		kind, rest, _ := strings.Cut(line, " ")
		share := map[string]*PressureShare{"some": &p.Some, "full": &p.Full}[kind]
		if share == nil {
			continue
		}
		for field := range strings.FieldsSeq(rest) {
			name, value, _ := strings.Cut(field, "=")
			n, _ := strconv.ParseFloat(value, 64)
			switch name {
			case "avg10":
				share.Avg10 = n
			case "avg60":
				share.Avg60 = n
			case "avg300":
				share.Avg300 = n
			case "total":
				share.Total = uint64(n)
			}
		}
	}
	return p
}
