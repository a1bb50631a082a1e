package cgroups

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/kernel"
	"golang.org/x/sys/unix"
)

// Group is a cgroup: one directory of the same path in every hierarchy. It
// holds no descriptor and needs no closing; several may stand for one group.
type Group struct {
	host *host
	path string
	// lone: pids.max is 1, which leaves no room for who helps; see Enter.
	lone atomic.Bool
	unit *unit // of systemd, or nil
}

// Options say how Make makes a group.
type Options struct {
	// Resources are the limits, as the OCI has them; nil is none.
	Resources *specs.LinuxResources
	// BestEffort does without what the host does not give: limits whose
	// controller is missing, and hierarchies that cannot be written. It is
	// for users other than root.
	BestEffort bool
	// LeftOut is told what BestEffort did without; it may be nil.
	LeftOut func(error)
}

// New makes the group at path, with the limits of r (nil: none), in all
// hierarchies, parents included. A path is absolute below the mount points of
// the hierarchies ("/peapod/web").
//
// With processes in a group that is there already the error is ErrExist, of a
// frozen one ErrFrozen. An empty one is taken over with the limits that it has,
// since it may be an administrator's; but below "/peapod" it is left over from a
// command that was killed, and is removed first (see Kill). A path or a resource
// that cannot be had is refused before anything is made (ErrInvalid,
// ErrUnsupported, ErrNoController), and what a failing New made it removes.
func New(path string, r *specs.LinuxResources) (*Group, error) {
	return Make(path, Options{Resources: r})
}

// Make is New with options.
func Make(path string, o Options) (*Group, error) {
	h, err := here()
	if err != nil {
		return nil, failed("make", path, err)
	}
	return h.create(path, o)
}

// Load gives the group at path, ErrNotExist when no hierarchy has it.
func Load(path string) (*Group, error) {
	h, err := here()
	if err != nil {
		return nil, failed("load", path, err)
	}
	return h.load(path)
}

func (h *host) load(unsafePath string) (*Group, error) {
	clean, err := Place(unsafePath)
	if err != nil {
		return nil, failed("load", unsafePath, err)
	}
	var u *unit
	if IsScope(unsafePath) {
		u, _ = parseScope(unsafePath)
	}
	has := h.only(func(dir string) bool { return exists(dir + clean) })
	if has.empty() {
		return nil, failed("load", clean, ErrNotExist)
	}
	return &Group{host: has, path: clean, unit: u}, nil
}

// Path gives the group's path below the hierarchies, "/peapod/web".
func (g *Group) Path() string { return g.path }

func (h *host) create(unsafePath string, o Options) (*Group, error) {
	if IsScope(unsafePath) {
		return h.createScope(unsafePath, o)
	}
	path, err := cleanPath(unsafePath)
	if err != nil {
		return nil, failed("make", unsafePath, err)
	}
	if o.BestEffort {
		h = h.writable(path, o.leaveOut)
	}
	p, err := h.at(path).plan(&o)
	if err != nil {
		return nil, failed("make", path, err)
	}
	settling.RLock()
	defer settling.RUnlock()
	g := &Group{host: h, path: path}
	made, err := g.make(p)
	if err != nil {
		for _, dir := range slices.Backward(made) {
			_ = unix.Rmdir(dir) // what others put into it meanwhile keeps it
		}
		return nil, err
	}
	return g, nil
}

// leaveOut tells the caller that the group does without something.
func (o *Options) leaveOut(err error) bool {
	if o.BestEffort && o.LeftOut != nil {
		o.LeftOut(err)
	}
	return o.BestEffort
}

// plan translates the resources for this host.
func (h *host) plan(o *Options) (*plan, error) {
	p, err := makePlan(o.Resources, h.controllers(), o.leaveOut)
	if err != nil || p.devices == nil {
		return p, err
	}
	if h.find("devices") != nil {
		_, err = p.devices.exceptions()
	} else if h.unified == "" {
		err = fmt.Errorf("device rules asked for, but the devices %w; mount it: mount -t cgroup -o devices cgroup %s/devices", ErrNoController, mountPoint)
		if o.leaveOut(err) {
			p.devices, err = nil, nil
		}
	}
	return p, err
}

// controllers looks a controller up, reading the list of v2 at most once.
func (h *host) controllers() controllers {
	var list []string
	var err error
	var done bool
	return func(name string) (version, error) {
		if h.find(name) != nil {
			return one, nil
		}
		if name == "cgroup" && h.unified != "" {
			return two, nil
		}
		if !done {
			list, err = h.offered()
			done = true
		}
		if slices.Contains(list, name) {
			return two, err
		}
		if err == nil {
			return missing, h.withheld(name, list)
		}
		return missing, err
	}
}

// withheld says that v2 has a controller, and that it was not delegated.
func (h *host) withheld(name string, list []string) error {
	if h.top == "" {
		return nil
	}
	all := *h
	all.top = ""
	if whole, err := all.offered(); err != nil || !slices.Contains(whole, name) {
		return err
	}
	remedy := fmt.Sprintf("root can: echo +%s >%s/cgroup.subtree_control", name, h.unified+parent(h.top))
	if strings.HasSuffix(h.top, ".service") && strings.Contains(h.top, "/user@") {
		remedy = "root can: systemctl edit user@.service, with [Service] and Delegate=cpu cpuset io memory pids, and the user log in anew"
	}
	return fmt.Errorf("the %s %w: it is not delegated to this user, %s has %s; %s; or leave the limit out",
		name, ErrNoController, named(h.top), strings.Join(append(list[:len(list):len(list)], "no other"), ", "), remedy)
}

// make makes the directories and gives those that were not there, also when
// it fails.
func (g *Group) make(p *plan) (made []string, err error) {
	h := g.host
	if h.unified != "" {
		list, err := g.makeIn(h.unified)
		made = append(made, list...)
		if err != nil {
			return made, err
		}
		if err := h.checkType(g.path); err != nil {
			return made, failed("make", g.path, err)
		}
		// Below a frozen group nothing that is born would ever run.
		if text, err := readFile(h.unified + g.path + "/cgroup.events"); err == nil && key(text, "frozen") == "1" {
			return made, failed("make", g.path, fmt.Errorf("%w, or one above it is; thaw it first", ErrFrozen))
		}
	}
	for i := range h.legacy {
		list, err := g.makeIn(h.legacy[i].dir)
		made = append(made, list...)
		if err == nil && h.legacy[i].has("cpuset") {
			err = inherit(h.legacy[i].dir, g.path, list)
		}
		if err != nil {
			return made, failed("make", g.path, err)
		}
	}
	if h.find("freezer") != nil {
		if frozen, err := g.Frozen(); err == nil && frozen {
			return made, failed("make", g.path, fmt.Errorf("%w, or one above it is; thaw it first", ErrFrozen))
		}
	}
	if err := g.apply(p); err != nil {
		return made, failed("limit", g.path, err)
	}
	return made, g.filter(p.devices)
}

// makeIn makes the group below one mount point.
func (g *Group) makeIn(mount string) (made []string, err error) {
	dir := mount + g.path
	for range 8 {
		more, err := mkdirs(mount, g.path)
		made = append(made, more...)
		if err != nil {
			return made, failed("make", g.path, hint(err))
		}
		if slices.Contains(more, dir) {
			return made, nil
		}
		list, err := procsBelow(dir)
		switch {
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV):
			continue // another one removed it meanwhile
		case err != nil:
			return made, failed("make", g.path, hint(err))
		case len(list) > 0:
			return made, failed("make", g.path, fmt.Errorf("%w: it has %s; choose another path or remove what runs there", ErrExist, few(list)))
		case !own(g.path) || !clear(dir):
			return made, nil
		}
	}
	return made, failed("make", g.path, fmt.Errorf("%w: it is made and removed by another command all the time", ErrExist))
}

// clear removes an empty group and those below it. Where that fails (a process
// has come), the group is there as before.
func clear(dir string) bool {
	below, _ := children(dir)
	for _, child := range below {
		clear(child)
	}
	return unix.Rmdir(dir) == nil
}

// mkdirs makes mount+path and what is missing above, and gives what it made,
// topmost first. Others may remove an empty parent at any time (DeleteParents),
// so a parent that is gone is made again, a bounded number of times.
func mkdirs(mount, path string) (made []string, err error) {
	for range 8 {
		err = unix.Mkdir(mount+path, 0o755)
		switch {
		case err == nil:
			return append(made, mount+path), nil
		case errors.Is(err, unix.EEXIST):
			var s unix.Stat_t
			if unix.Stat(mount+path, &s) == nil && s.Mode&unix.S_IFMT != unix.S_IFDIR {
				return made, fmt.Errorf("%w path: %s is a file of the kernel", ErrInvalid, path)
			}
			return made, nil
		case !errors.Is(err, unix.ENOENT):
			return made, err
		}
		cut := strings.LastIndexByte(path, '/')
		if cut <= 0 {
			return made, fmt.Errorf("%w (%s is not mounted any more)", err, mount)
		}
		above, err := mkdirs(mount, path[:cut])
		made = append(made, above...)
		if err != nil {
			return made, err
		}
	}
	return made, err
}

// apply makes the settings of a plan.
func (g *Group) apply(p *plan) error {
	if err := g.host.enable(g.path, p.enable); err != nil {
		return err
	}
	if err := g.settle(p); err != nil {
		return err
	}
	for _, s := range p.settings {
		if s.file == "pids.max" && (s.version == one || g.unit != nil) {
			g.lone.Store(s.value == "1")
		}
	}
	return apply(p.settings, g.dirOf)
}

// settle waits for the files of controllers that another process, or thread, is
// about to switch on: the kernel tells of a controller in cgroup.subtree_control
// before it has made its files, and a group that is there already has none of
// them so long. A write there waits for the one that is under way.
func (g *Group) settle(p *plan) error {
	for i := range p.settings {
		s := &p.settings[i]
		if s.version == one || len(p.enable) == 0 || exists(g.dirOf(s)+"/"+s.file) {
			continue
		}
		file := g.host.unified + g.path[:strings.LastIndexByte(g.path, '/')] + "/cgroup.subtree_control"
		if err := writeFile(file, "+"+strings.Join(p.enable, " +")); err != nil {
			return &step{"write " + file, hint(err)}
		}
		return nil
	}
	return nil
}

// dirOf gives the directory that has the file of a setting.
func (g *Group) dirOf(s *setting) string {
	if s.version == one {
		return g.host.find(s.controller).dir + g.path
	}
	return g.host.unified + g.path
}

// filter applies the device rules.
func (g *Group) filter(d *deviceRules) error {
	if d == nil {
		return nil
	}
	if l := g.host.find("devices"); l != nil {
		list, err := d.exceptions()
		if err == nil {
			err = d.applyOne(l.dir+g.path, list)
		}
		return failed("restrict devices", g.path, err)
	}
	dir, err := open(g.host.unified+g.path, unix.O_DIRECTORY|unix.O_RDONLY)
	if err != nil {
		return failed("restrict devices", g.path, err)
	}
	defer unix.Close(dir)
	err = attachFilter(dir, encode(d.filter()))
	return failed("restrict devices", g.path, forgive(err))
}

// forgive lets a user namespace do without the filter, as runc and crun do:
// there nobody can make device nodes, and BPF is not allowed at all.
func forgive(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM) && kernel.InUserNamespace():
		return nil
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w (cgroup v2 restricts devices by a BPF program, which needs CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN)", err)
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%w (the kernel has to be built with CONFIG_BPF_SYSCALL and CONFIG_CGROUP_BPF)", err)
	}
	return err
}

// few shows some of a list of processes.
func few(pids []int) string {
	text := make([]string, 0, 5)
	for i, pid := range pids {
		if i == 5 {
			text = append(text, "…")
			break
		}
		text = append(text, fmt.Sprint(pid))
	}
	if len(pids) == 1 {
		return "process " + text[0]
	}
	return fmt.Sprintf("%d processes (%s)", len(pids), strings.Join(text, ", "))
}
