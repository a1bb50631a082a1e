package cgroups

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// updateDevices changes the device rules of a group that is in use. At no moment
// is anything open that neither the old nor the new rules allow. d is nil where
// everything is allowed.
func (g *Group) updateDevices(d *deviceRules) error {
	if d == nil {
		d = &deviceRules{allow: true}
	}
	if l := g.host.find("devices"); l != nil {
		return g.updateDevicesOne(d, l.dir+g.path)
	}
	dir, err := open(g.host.unified+g.path, unix.O_DIRECTORY|unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	var code []byte
	if !d.allow || len(d.list) > 0 {
		code = encode(d.filter())
	}
	return forgive(replaceFilter(dir, code))
}

// updateDevicesOne changes a list of what is allowed entry by entry. Any other
// change begins with all or nothing being allowed: meanwhile the group stands
// still. The kernel does not show what is forbidden in a group where the rest is
// allowed, so that this is such a change too.
func (g *Group) updateDevicesOne(d *deviceRules, dir string) error {
	target, err := d.exceptions()
	if err != nil {
		return err
	}
	current, all, err := readDevices(dir)
	if err != nil {
		return err
	}
	if !all && !d.allow {
		return changeDevices(dir, current, target)
	}
	frozen, err := g.Frozen()
	if err != nil {
		return err
	}
	if !frozen {
		ctx, cancel := context.WithTimeoutCause(context.Background(), patience, errPatience)
		defer cancel()
		if err := g.Freeze(ctx); err != nil {
			return err
		}
		defer g.Thaw()
	}
	return d.applyOne(dir, target)
}

// changeDevices leads from one list of what is allowed to another.
func changeDevices(dir string, from, to []deviceRule) error {
	// What is new first: what both lists allow is allowed all the time.
	for _, file := range []struct {
		name  string
		rules []deviceRule
	}{{"devices.allow", lacking(to, from)}, {"devices.deny", lacking(from, to)}} {
		for _, r := range file.rules {
			if err := writeFile(dir+"/"+file.name, r.String()); err != nil {
				return &step{"set " + file.name + " to " + r.String(), hint(err)}
			}
		}
	}
	return nil
}

// lacking gives the accesses of list that other has no entry for. The kernel
// takes accesses off an entry of exactly the same device.
func lacking(list, other []deviceRule) []deviceRule {
	var out []deviceRule
	for _, r := range merged(list) {
		for _, o := range other {
			if r.kind == o.kind && r.major == o.major && r.minor == o.minor {
				r.access &^= o.access
			}
		}
		if r.access != 0 {
			out = append(out, r)
		}
	}
	return out
}

// merged has one entry for each device.
func merged(list []deviceRule) []deviceRule {
	var out []deviceRule
	for _, r := range list {
		i := slices.IndexFunc(out, func(o deviceRule) bool { return r.kind == o.kind && r.major == o.major && r.minor == o.minor })
		if i < 0 {
			out = append(out, r)
		} else {
			out[i].access |= r.access
		}
	}
	return out
}

// readDevices reads what a group of v1 allows; all is set where that is
// everything but what the kernel does not show.
func readDevices(dir string) (list []deviceRule, all bool, err error) {
	text, err := readList(dir + "/devices.list")
	if err != nil {
		return nil, false, &step{"read devices.list", hint(err)}
	}
	for line := range strings.Lines(text) {
		r, ok := parseRule(strings.TrimSuffix(line, "\n"))
		switch {
		case !ok:
			return nil, false, &step{"read devices.list", errors.New("unexpected line " + strconv.Quote(line))}
		case r.kind == 'a':
			return nil, true, nil
		}
		r.allow = true
		list = append(list, r)
	}
	return list, false, nil
}

// parseRule reads "c 1:3 rwm".
func parseRule(line string) (r deviceRule, ok bool) {
	f := strings.Fields(line)
	if len(f) != 3 || len(f[0]) != 1 || !strings.Contains("abc", f[0]) {
		return r, false
	}
	major, minor, ok := strings.Cut(f[1], ":")
	if !ok {
		return r, false
	}
	number := func(text string) int64 {
		if text == "*" {
			return anyNumber
		}
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			ok = false
		}
		return int64(n)
	}
	r = deviceRule{kind: f[0][0], major: number(major), minor: number(minor)}
	for _, letter := range f[2] {
		i := strings.IndexRune("mrw", letter)
		if i < 0 {
			return r, false
		}
		r.access |= 1 << i
	}
	return r, ok
}
