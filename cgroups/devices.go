package cgroups

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// access to a device node, with the values of BPF_DEVCG_ACC_*.
type access uint8

const (
	mayMknod access = 1 << iota
	mayRead
	mayWrite
	mayAll = mayMknod | mayRead | mayWrite
)

func (a access) String() string {
	var b strings.Builder
	for i, letter := range []access{mayRead, mayWrite, mayMknod} {
		if a&letter != 0 {
			b.WriteByte("rwm"[i])
		}
	}
	return b.String()
}

// anyNumber in place of a device number stands for all of them.
const anyNumber = -1

// deviceRule is about one device or, with anyNumber, many.
type deviceRule struct {
	kind         byte // 'b' or 'c'
	major, minor int64
	access       access
	allow        bool
}

// String is the form that the files of v1 take: "c 1:3 rwm".
func (r deviceRule) String() string {
	number := func(n int64) string {
		if n == anyNumber {
			return "*"
		}
		return strconv.FormatInt(n, 10)
	}
	return string(r.kind) + " " + number(r.major) + ":" + number(r.minor) + " " + r.access.String()
}

// deviceRules decide by the last rule that speaks of an access; where none
// does, allow says.
type deviceRules struct {
	allow bool
	list  []deviceRule
}

// defaultDevices are always allowed, as every OCI runtime does: a program
// without them does not start. Making any node is harmless, opening is what
// the rules are about. 10:200 is /dev/net/tun, which runc keeps for VPNs.
var defaultDevices = []deviceRule{
	{'c', anyNumber, anyNumber, mayMknod, true},
	{'b', anyNumber, anyNumber, mayMknod, true},
	{'c', 1, 3, mayAll, true},           // null
	{'c', 1, 5, mayAll, true},           // zero
	{'c', 1, 7, mayAll, true},           // full
	{'c', 1, 8, mayAll, true},           // random
	{'c', 1, 9, mayAll, true},           // urandom
	{'c', 5, 0, mayAll, true},           // tty
	{'c', 5, 2, mayAll, true},           // ptmx
	{'c', 136, anyNumber, mayAll, true}, // pts/N
	{'c', 10, 200, mayAll, true},        // net/tun
}

// maxDevices keeps the filter short enough for its jumps (±32767).
const maxDevices = 1000

// parseDevices gives nil where nothing is asked for: no rules, or rules that
// forbid nothing.
func parseDevices(list []specs.LinuxDeviceCgroup) (*deviceRules, error) {
	if len(list) == 0 {
		return nil, nil
	}
	if len(list) > maxDevices {
		return nil, fmt.Errorf("%w device rules: there are %d, and no more than %d can be had", ErrInvalid, len(list), maxDevices)
	}
	d := &deviceRules{}
	for i := range list {
		rules, err := parseDevice(&list[i])
		if err != nil {
			return nil, fmt.Errorf("%w device rule %d: %v", ErrInvalid, i, err)
		}
		if rules == nil { // it speaks of everything: what was said before is void
			d.allow, d.list = list[i].Allow, nil
		}
		d.list = append(d.list, rules...)
	}
	if d.allow && !slices.ContainsFunc(d.list, func(r deviceRule) bool { return !r.allow }) {
		return nil, nil
	}
	d.list = append(d.list, defaultDevices...)
	return d, nil
}

// parseDevice gives the rules for one of the OCI: two where it is about block
// and character devices alike, none where it is about every access to all.
func parseDevice(s *specs.LinuxDeviceCgroup) ([]deviceRule, error) {
	r := deviceRule{major: anyNumber, minor: anyNumber, allow: s.Allow}
	for _, letter := range s.Access {
		i := strings.IndexRune("mrw", letter)
		if i < 0 {
			return nil, fmt.Errorf("access %q has letters other than r, w and m", s.Access)
		}
		r.access |= 1 << i
	}
	if r.access == 0 {
		return nil, fmt.Errorf("access is empty; give some of r, w and m")
	}
	for _, n := range []struct {
		from *int64
		to   *int64
		most int64
	}{{s.Major, &r.major, 1<<12 - 1}, {s.Minor, &r.minor, 1<<20 - 1}} {
		if n.from == nil || *n.from == anyNumber {
			continue
		}
		if *n.to = *n.from; *n.to < 0 || *n.to > n.most {
			return nil, fmt.Errorf("device number %d is not within 0 to %d", *n.to, n.most)
		}
	}
	switch s.Type {
	case "b", "c":
		r.kind = s.Type[0]
		return []deviceRule{r}, nil
	case "", "a":
		if r.access == mayAll && r.major == anyNumber && r.minor == anyNumber {
			return nil, nil
		}
		c := r
		r.kind, c.kind = 'b', 'c'
		return []deviceRule{r, c}, nil
	}
	return nil, fmt.Errorf("type %q is none of a, b and c", s.Type)
}

// covers holds when r speaks of every device that s speaks of.
func (r deviceRule) covers(s deviceRule) bool {
	return r.kind == s.kind && (r.major == anyNumber || r.major == s.major) && (r.minor == anyNumber || r.minor == s.minor)
}

// overlaps holds when some device is meant by both.
func (r deviceRule) overlaps(s deviceRule) bool {
	same := func(a, b int64) bool { return a == anyNumber || b == anyNumber || a == b }
	return r.kind == s.kind && same(r.major, s.major) && same(r.minor, s.minor)
}

// exceptions reduces the rules to what v1 has: a default, and the devices that
// differ from it. A rule that would cut a piece out of an exception cannot be
// said there and is refused: the kernel would take it and do nothing.
func (d *deviceRules) exceptions() ([]deviceRule, error) {
	var list []deviceRule
	for _, r := range d.list {
		if r.allow != d.allow {
			list = append(list, r)
			continue
		}
		for i := range list {
			e := &list[i]
			switch {
			case e.access&r.access == 0 || !r.overlaps(*e):
			case r.covers(*e):
				e.access &^= r.access
			default:
				return nil, fmt.Errorf("device rule %q after %q: %w by cgroup v1, which has no exceptions to exceptions; name the devices one by one", r, e, ErrUnsupported)
			}
		}
	}
	return slices.DeleteFunc(list, func(r deviceRule) bool { return r.access == 0 }), nil
}

// applyOne writes the rules to a group of the v1 devices controller.
func (d *deviceRules) applyOne(dir string, list []deviceRule) error {
	base, other := "/devices.deny", "/devices.allow"
	if d.allow {
		base, other = other, base
	}
	if err := writeFile(dir+base, "a"); err != nil {
		return &step{"set " + base[1:] + " to a", hint(err)}
	}
	fd, err := open(dir+other, unix.O_WRONLY)
	if err != nil {
		return &step{"open " + other[1:], hint(err)}
	}
	defer unix.Close(fd)
	for _, r := range list {
		if err := writeAll(fd, r.String()); err != nil {
			return &step{"set " + other[1:] + " to " + r.String(), hint(err)}
		}
	}
	return nil
}
