package seccomp

import (
	"fmt"
	"io"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const lineWidth = 96 // of a description

// Describe writes what a profile comes to on goarch, with prefix before each
// line: a list of system calls for each action and its conditions.
func Describe(w io.Writer, s *specs.LinuxSeccomp, goarch, prefix string) error {
	f, err := Compile(s, goarch)
	if err != nil || f == nil {
		return err
	}
	p, err := parse(s, goarch)
	if err != nil {
		return err
	}
	d := &description{w: w, prefix: prefix}
	var archs []string
	for _, a := range p.archs {
		archs = append(archs, string(abouts[a].name))
	}
	d.line(fmt.Sprintf("seccomp filter: %d instructions, %s; other architectures: %v", len(f.Code), strings.Join(archs, ", "), retKill))
	for _, text := range p.groups() {
		d.list(text.head, text.names)
	}
	if !p.otherwise.permissive() && p.otherwise != retENOSYS {
		for _, a := range p.archs {
			if nr, ok := p.newest(a); ok {
				d.line(fmt.Sprintf("%v: calls of %s that are newer than %s (%d)", retENOSYS, abouts[a].name, nameOf(a, nr), nr&^x32Bit))
			}
		}
	}
	d.line(fmt.Sprintf("%v: all others", p.otherwise))
	if len(f.Unknown) > 0 {
		d.list("left out, there are no such calls: ", f.Unknown)
	}
	return d.err
}

// group is what a description has behind one heading.
type group struct {
	head  string
	names []string
}

// groups are the rules with the same action and conditions together.
func (p *profile) groups() (list []group) {
	for _, r := range p.rules {
		head := r.action.String()
		for i, c := range r.conditions {
			head += []string{" if ", " and "}[min(i, 1)] + c.String()
		}
		head += ": "
		at := slices.IndexFunc(list, func(g group) bool { return g.head == head })
		if at < 0 {
			at = len(list)
			list = append(list, group{head: head})
		}
		for _, call := range r.calls {
			list[at].names = append(list[at].names, call.name)
		}
	}
	return list
}

// nameOf is the call that has a number.
func nameOf(a arch, nr uint32) string {
	for i := range table {
		if table[i].number[a] == int32(nr) {
			return table[i].name
		}
	}
	return "system call"
}

// description writes lines until that fails.
type description struct {
	w      io.Writer
	prefix string
	err    error
}

func (d *description) line(text string) {
	if d.err == nil {
		_, d.err = fmt.Fprintf(d.w, "%s%s\n", d.prefix, text)
	}
}

// list writes names behind head, on as many lines as they take.
func (d *description) list(head string, names []string) {
	line := head
	for i, n := range names {
		if i < len(names)-1 {
			n += ", "
		}
		if len(line)+len(n) > lineWidth {
			d.line(strings.TrimRight(line, " "))
			line = "  "
		}
		line += n
	}
	d.line(line)
}
