package cgroups

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/program"
	"github.com/peapod/peapod/internal/systemd"
)

// systemdPatience is for how long systemd is waited for.
const systemdPatience = 30 * time.Second

// unit is a scope of systemd that a group belongs to. The kernel's files are
// written as for any group: the scope is delegated to us. systemd is told of the
// limits too, since it writes its own again whenever it reloads.
type unit struct {
	name, slice string
	// holder is a process that does nothing: systemd makes no empty scope. It
	// ends when another one is born there.
	holder *program.Process
}

// IsScope tells whether a path has the form "slice:prefix:name", that of a scope
// which systemd makes: prefix-name.scope in the slice, system.slice where that is
// left out, and user.slice where it is a user's. All functions that take paths take this form too.
func IsScope(path string) bool { return strings.Count(path, ":") == 2 && !strings.Contains(path, "/") }

// Place gives the path below the hierarchies' mount points that a path of either
// form stands for.
func Place(path string) (string, error) {
	if !IsScope(path) {
		return cleanPath(path)
	}
	u, err := parseScope(path)
	if err != nil {
		return "", err
	}
	return u.path(), nil
}

// parseScope reads "slice:prefix:name".
func parseScope(path string) (*unit, error) {
	part := strings.Split(path, ":")
	u := &unit{slice: part[0], name: part[2] + ".scope"}
	if u.slice == "" {
		u.slice = defaultSlice()
	}
	if part[1] != "" {
		u.name = part[1] + "-" + u.name
	}
	name := strings.TrimSuffix(u.slice, ".slice")
	switch {
	case part[2] == "" || strings.HasSuffix(part[2], ".slice"):
		return nil, fmt.Errorf("%w path %q: name the scope behind the second colon", ErrInvalid, path)
	case strings.Trim(u.name, unitLetters) != "" || len(u.name) > maxName:
		return nil, fmt.Errorf("%w path %q: names of units have letters, digits and -_.:\\@ (systemd.unit(5))", ErrInvalid, path)
	case name == u.slice || strings.Trim(name, unitLetters) != "",
		name != "-" && (name == "" || strings.HasPrefix(name, "-") || strings.HasSuffix(name, "-") || strings.Contains(name, "--")):
		return nil, fmt.Errorf("%w path %q: %q is no slice; give one such as system.slice or apps-web.slice", ErrInvalid, path, u.slice)
	}
	return u, nil
}

const unitLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.\\@"

// defaultSlice is that of runc: of the two that systemd has for all units.
func defaultSlice() string {
	if _, ok := systemd.User(); ok {
		return "user.slice"
	}
	return "system.slice"
}

// path: a-b.slice is in a.slice (systemd.slice(5)), and a user's systemd has a group
// that is delegated to it.
func (u *unit) path() string {
	path, prefix := "", ""
	if uid, ok := systemd.User(); ok {
		if h, err := here(); err == nil {
			path = h.managerPath(uid)
		}
	}
	if name := strings.TrimSuffix(u.slice, ".slice"); name != "-" {
		for part := range strings.SplitSeq(name, "-") {
			prefix += part
			path += "/" + prefix + ".slice"
			prefix += "-"
		}
	}
	return path + "/" + u.name
}

// ask connects to systemd for one question.
func ask(f func(context.Context, *systemd.Conn) error) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), systemdPatience, errors.New("no answer in 30s"))
	defer cancel()
	c, err := systemd.Connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return f(ctx, c)
}

// start has systemd make the scope.
func (u *unit) start(r *specs.LinuxResources, two bool) error {
	if uid, ok := systemd.User(); ok && !systemd.UserRuns(uid) {
		return fmt.Errorf("%w: no systemd of user %d runs: log in by a login manager, ssh or machinectl shell (not su), or have root run: loginctl enable-linger %d; "+
			"or do without --systemd-cgroup", ErrUnsupported, uid, uid)
	}
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return fmt.Errorf("%w: this host does not run systemd; give a path such as /peapod/web, and no --systemd-cgroup", ErrUnsupported)
	}
	if err := u.hold(); err != nil {
		return err
	}
	err := ask(func(ctx context.Context, c *systemd.Conn) error {
		return c.StartScope(ctx, u.name, append(u.properties(), properties(r, two)...))
	})
	if err != nil {
		u.release()
	}
	return err
}

// hold starts the process that is in the scope first.
func (u *unit) hold() error {
	p := program.New()
	p.CloseOthers()
	p.Sync("the container") // or for the end of this process
	p.Exit(0)
	process, err := p.Start(&program.Attr{})
	if err != nil {
		return &step{"start a process for the scope", err}
	}
	u.holder = process
	return nil
}

// release ends it.
func (u *unit) release() {
	if u != nil && u.holder != nil {
		u.holder.Abort()
		u.holder = nil
	}
}

// held counts the processes that are in the scope for its sake.
func (u *unit) held() int {
	if u == nil || u.holder == nil {
		return 0
	}
	return 1
}

// stop has systemd forget the scope.
func (u *unit) stop() error {
	if u == nil {
		return nil
	}
	u.release()
	return ask(func(ctx context.Context, c *systemd.Conn) error { return c.Stop(ctx, u.name) })
}

// update tells systemd the new limits, before the kernel is told.
func (u *unit) update(r *specs.LinuxResources, two bool) error {
	if u == nil {
		return nil
	}
	list := properties(r, two)
	if len(list) == 0 {
		return nil
	}
	return ask(func(ctx context.Context, c *systemd.Conn) error { return c.Change(ctx, u.name, list) })
}

// properties are those of every scope, as runc has them.
func (u *unit) properties() []systemd.Property {
	return []systemd.Property{
		systemd.Set("Description", "peapod container "+strings.TrimSuffix(u.name, ".scope")),
		systemd.Set("Slice", u.slice),
		systemd.Set("Delegate", true),
		systemd.Set("PIDs", []uint32{uint32(u.holder.Pid)}),
		systemd.Set("DefaultDependencies", false),
		systemd.Set("CollectMode", "inactive-or-failed"),
		systemd.Set("MemoryAccounting", true), systemd.Set("CPUAccounting", true),
		systemd.Set("IOAccounting", true), systemd.Set("TasksAccounting", true),
	}
}

// createScope makes a group of a scope.
func (h *host) createScope(path string, o Options) (*Group, error) {
	u, err := parseScope(path)
	if err != nil {
		return nil, failed("make", path, err)
	}
	p, err := h.at(u.path()).plan(&o)
	if err != nil {
		return nil, failed("make", path, err)
	}
	if err := u.start(o.Resources, h.mode == V2); err != nil {
		return nil, failed("make", path, err)
	}
	g := &Group{host: h, path: u.path(), unit: u}
	if err := g.settleScope(p); err != nil {
		u.stop()
		return nil, err
	}
	return g, nil
}

// settleScope completes what systemd has made: it makes directories where it manages
// controllers, and writes what its properties say.
func (g *Group) settleScope(p *plan) error {
	h := g.host
	for i := range h.legacy {
		made, err := mkdirs(h.legacy[i].dir, g.path)
		if err == nil && h.legacy[i].has("cpuset") {
			err = inherit(h.legacy[i].dir, g.path, made)
		}
		if err != nil {
			return failed("make", g.path, hint(err))
		}
	}
	if h.unified != "" && !exists(h.unified+g.path) {
		return failed("make", g.path, fmt.Errorf("systemd has started %s, and it is not there: %w", g.unit.name, ErrNotExist))
	}
	if err := g.apply(p); err != nil {
		return failed("limit", g.path, err)
	}
	return g.filter(p.devices)
}
