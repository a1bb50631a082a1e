package runtime

import (
	"fmt"
	"os"
	"strings"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/program"
	"github.com/peapod/peapod/namespaces"
	"github.com/peapod/peapod/rootfs"
	"golang.org/x/sys/unix"
)

// membership is which namespaces a container has anew and which it joins.
type membership struct {
	anew uint64 // CLONE_NEW* flags
	born uint64 // those of them that the process is born in: see nursery
	join []joined

	offsets []byte            // of a new time namespace's clocks, as timens_offsets wants them
	ids     namespaces.IDMaps // of a new user namespace
	// base is the mount namespace that the container's is a copy of, and that
	// the caller cannot enter; or nil.
	base *os.File
}

type joined struct {
	kind namespaces.Kind
	file *os.File // nil in a program that is only listed
}

// joining reads linux.namespaces. Those that are listed with a path are opened
// when open says so; the caller closes them.
func joining(spec *specs.Spec, open bool) (m *membership, err error) {
	m = &membership{}
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	seen := map[namespaces.Kind]bool{}
	for i, ns := range spec.Linux.Namespaces {
		kind := namespaces.Kind(ns.Type)
		where := fmt.Sprintf("linux.namespaces[%d]", i)
		switch {
		case !kind.Valid():
			return m, fmt.Errorf("%s.type %q: give one of mount, network, pid, uts, ipc, cgroup, user, time", where, ns.Type)
		case seen[kind]:
			return m, fmt.Errorf("%s.type %q is listed twice", where, ns.Type)
		}
		seen[kind] = true
		if ns.Path == "" {
			m.anew |= uint64(kind.Flag())
			continue
		}
		j := joined{kind: kind}
		if open {
			if j.file, err = namespaces.Open(kind, ns.Path); err != nil {
				return m, fmt.Errorf("%s.path: %w", where, err)
			}
		}
		m.join = append(m.join, j)
	}
	m.ids = namespaces.IDMaps{Users: idMap(spec.Linux.UIDMappings), Groups: idMap(spec.Linux.GIDMappings)}
	if m.offsets, err = clockOffsets(spec.Linux.TimeOffsets); err != nil {
		return m, err
	}
	return m, m.check(spec)
}

// clockOffsets writes offsets as time_namespaces(7) has them.
func clockOffsets(offsets map[string]specs.LinuxTimeOffset) (text []byte, err error) {
	for name, o := range offsets {
		switch {
		case name != "monotonic" && name != "boottime":
			return nil, fmt.Errorf("linux.timeOffsets %q: give monotonic or boottime", name)
		case o.Nanosecs >= 1e9:
			return nil, fmt.Errorf("linux.timeOffsets.%s.nanosecs %d: give less than 1000000000", name, o.Nanosecs)
		}
		text = fmt.Appendf(text, "%s %d %d\n", name, o.Secs, o.Nanosecs)
	}
	return text, nil
}

// writeClocks sets the clocks of the time namespace that pid has just made.
func (m *membership) writeClocks(pid int) error {
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/timens_offsets", pid), m.offsets, 0); err != nil {
		return fmt.Errorf("linux.timeOffsets: %w", err)
	}
	return nil
}

func idMap(list []specs.LinuxIDMapping) (m []syscall.SysProcIDMap) {
	for _, l := range list {
		m = append(m, syscall.SysProcIDMap{ContainerID: int(l.ContainerID), HostID: int(l.HostID), Size: int(l.Size)})
	}
	return m
}

func (m *membership) check(spec *specs.Spec) error {
	newUser := m.has(unix.CLONE_NEWUSER)
	switch {
	case !m.has(unix.CLONE_NEWNS) && rootless():
		return fmt.Errorf(`linux.namespaces: %w: an ordinary user's container needs a mount namespace of its own: add {"type": "mount"}, without a path`, unix.EPERM)
	case !m.has(unix.CLONE_NEWNS) && !m.joins(namespaces.Mount) && m.user():
		return fmt.Errorf(`linux.namespaces: %w: from a user namespace nothing can be mounted in the host's mount namespace: add {"type": "mount"}`, unix.EPERM)
	case newUser && (len(m.ids.Users) == 0 || len(m.ids.Groups) == 0):
		return fmt.Errorf("linux.uidMappings and gidMappings: a new user namespace needs both")
	case !newUser && len(m.ids.Users)+len(m.ids.Groups) > 0 && !m.joins(namespaces.User):
		return fmt.Errorf(`linux.uidMappings: there is no user namespace: add {"type": "user"} to linux.namespaces`)
	case len(spec.Linux.TimeOffsets) > 0 && !m.has(unix.CLONE_NEWTIME):
		return fmt.Errorf(`linux.timeOffsets: there is no new time namespace: add {"type": "time"} to linux.namespaces`)
	case spec.Hostname+spec.Domainname != "" && !m.has(unix.CLONE_NEWUTS) && !m.joins(namespaces.UTS):
		return fmt.Errorf(`hostname: there is no uts namespace, so that the host's name would change: add {"type": "uts"} to linux.namespaces`)
	}
	return nil
}

func (m *membership) has(flag uint64) bool { return m.anew&flag != 0 }

func (m *membership) joins(kind namespaces.Kind) bool { return m.index(kind) >= 0 }

// index finds kind among the namespaces that are joined, or is -1.
func (m *membership) index(kind namespaces.Kind) int {
	for i, j := range m.join {
		if j.kind == kind {
			return i
		}
	}
	return -1
}

func (m *membership) close() {
	for _, j := range m.join {
		j.file.Close()
	}
}

// user tells whether the container's user namespace is not the caller's.
func (m *membership) user() bool { return m.has(unix.CLONE_NEWUSER) || m.joins(namespaces.User) }

// idMap is how the container's user namespace maps, or nil.
func (m *membership) idMap(spec *specs.Spec) *rootfs.IDMap {
	if !m.user() {
		return nil
	}
	idMap := &rootfs.IDMap{Users: spec.Linux.UIDMappings, Groups: spec.Linux.GIDMappings}
	if i := m.index(namespaces.User); i >= 0 {
		idMap.Namespace = m.join[i].file
	}
	return idMap
}

// inside tells whether the program has to make the new namespaces itself,
// behind those that it joins, and to fork where a pid namespace is among them.
// Otherwise clone makes all of them at once.
func (m *membership) inside() bool {
	return m.joins(namespaces.PID) || m.joins(namespaces.User) || m.joins(namespaces.Mount) ||
		m.has(unix.CLONE_NEWUSER) && len(m.join) > 0 || m.has(unix.CLONE_NEWTIME)
}

// forks tells whether the program forks: only children are in a pid namespace
// that was joined, or made without a clone, and in a time namespace that is new.
func (m *membership) forks() bool {
	return m.inside() && (m.has(unix.CLONE_NEWPID|unix.CLONE_NEWTIME) || m.joins(namespaces.PID))
}

// cloneFlags are those that the process is made with.
func (m *membership) cloneFlags() uintptr {
	if m.inside() {
		return 0
	}
	// A cgroup namespace shows the group that a process has when it is made,
	// which for clone is still the parent's.
	return uintptr(m.anew &^ (unix.CLONE_NEWCGROUP | m.born))
}

// steps appends what brings the process into its namespaces.
func (m *membership) steps(p *program.Program) {
	files := make([]program.Value, len(m.join))
	for i, j := range m.join {
		files[i] = p.File(j.file, string(j.kind)+" namespace")
	}
	enter := func(i int) *program.Step {
		kind := m.join[i].kind
		return p.Call(unix.SYS_SETNS, files[i], cloneFlags(uint64(kind.Flag()))).
			For("join", "the "+string(kind)+" namespace")
	}
	user := m.index(namespaces.User)
	if user >= 0 {
		// Namespaces may belong to the user namespace that is joined or
		// to the one that is left: what can be joined before is, and its
		// descriptor closed, so that it is not joined again behind it,
		// where that may be denied.
		for i := range m.join {
			if i != user {
				denied := p.Label()
				enter(i).Tolerate(unix.EPERM).Else(denied)
				p.Call(unix.SYS_CLOSE, files[i])
				p.Here(denied)
			}
		}
		enter(user)
		becomeRoot(p)
	}
	for i := range m.join {
		if i == user {
			continue
		}
		s := enter(i)
		if user >= 0 {
			s.Tolerate(unix.EBADF)
		}
	}
	if !m.inside() {
		return
	}
	if m.base != nil {
		p.Call(unix.SYS_SETNS, p.File(m.base, "mounts"), cloneFlags(unix.CLONE_NEWNS)).For("join", "the mount namespace of the sources")
	}
	if m.has(unix.CLONE_NEWUSER) {
		p.Call(unix.SYS_UNSHARE, cloneFlags(unix.CLONE_NEWUSER)).For("make", "the user namespace")
		p.Sync(syncIDs)
		becomeRoot(p)
	}
	rest := m.anew &^ (unix.CLONE_NEWUSER | unix.CLONE_NEWCGROUP)
	if rest != 0 {
		p.Call(unix.SYS_UNSHARE, cloneFlags(rest)).For("make", "the namespaces")
	}
	if len(m.offsets) > 0 {
		p.Sync(syncClocks) // nobody is in the namespace yet: later its clocks stay
	}
	if m.forks() {
		forkInto(p)
	}
}

// forkInto goes on in a child, since only children are in a pid namespace that
// was joined or made. The child's parent is this program's.
func forkInto(p *program.Program) {
	pid, child := p.Message(messagePid), p.Label()
	p.Call(unix.SYS_CLONE, program.Sym(unix.CLONE_PARENT|int(unix.SIGCHLD), "CLONE_PARENT|SIGCHLD"),
		program.Null, program.Null, program.Null, program.Null).Into(pid.Value).Zero(child).For("fork", "into the pid namespace")
	p.Send(pid)
	p.Exit(0)
	p.Here(child)
	undumpable(p)
}

// becomeRoot takes the user namespace's own root identity.
func becomeRoot(p *program.Program) {
	zero := program.Int(0)
	p.Call(unix.SYS_SETRESGID, zero, zero, zero).For("become group 0 of", "the user namespace")
	p.Call(unix.SYS_SETRESUID, zero, zero, zero).For("become user 0 of", "the user namespace")
	undumpable(p) // a change of credentials resets it
}

func undumpable(p *program.Program) {
	// What enters a container must not be traced from inside (CVE-2016-9962).
	p.Call(unix.SYS_PRCTL, program.Sym(unix.PR_SET_DUMPABLE, "PR_SET_DUMPABLE"), program.Int(0))
}

// The messages of a container's program.
const (
	syncIDs     = "id maps"
	messagePid  = "pid"
	syncCreated = "created"
	syncHooks   = "hooks"
	syncClocks  = "clocks"
	syncParent  = "devices and classes of the host"
)

// cloneFlags is a word of CLONE_NEW* flags.
func cloneFlags(word uint64) program.Value {
	var names []string
	for _, k := range namespaces.Kinds() {
		if word&uint64(k.Flag()) != 0 {
			name := strings.ToUpper(k.ProcName())
			if k == namespaces.Mount {
				name = "NS"
			}
			names = append(names, "CLONE_NEW"+name)
		}
	}
	return program.Sym(word, strings.Join(names, "|"))
}

// writeIDs writes the maps of the user namespace that pid just made.
func (m *membership) writeIDs(pid int) error {
	lists := [][]syscall.SysProcIDMap{m.ids.Users, m.ids.Groups}
	for i, name := range []string{"uid_map", "gid_map"} {
		var text []byte
		for _, l := range lists[i] {
			text = fmt.Appendf(text, "%d %d %d\n", l.ContainerID, l.HostID, l.Size)
		}
		path := fmt.Sprintf("/proc/%d/%s", pid, name)
		if err := os.WriteFile(path, text, 0); err != nil {
			return fmt.Errorf("write the map of the user namespace: %w", err)
		}
	}
	return nil
}

// sys is how the process is made: with its new namespaces, unless it makes them
// itself.
func (m *membership) sys() (a syscall.SysProcAttr) {
	a.Cloneflags = m.cloneFlags()
	if a.Cloneflags&unix.CLONE_NEWUSER != 0 {
		a.UidMappings, a.GidMappings = m.ids.Users, m.ids.Groups
		a.GidMappingsEnableSetgroups = true
		a.Credential = &syscall.Credential{}
	}
	return a
}
