package runtime

import (
	"encoding/binary"
	"fmt"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/program"
	"golang.org/x/sys/unix"
)

// identity is the process of a spec, checked.
type identity struct {
	*specs.Process
	caps   capabilities
	limits []limit
	attributes
	unknown []string // capabilities that do not exist
	hollow  uint64   // ambient capabilities that the process cannot have
	filter  *filter  // nil is none
}

type limit struct {
	resource  int
	name      string
	soft, max uint64
}

// checkProcess checks what a process asks for, before anything is made.
func checkProcess(p *specs.Process) (*identity, error) {
	if p == nil {
		return nil, fmt.Errorf("process: is missing: say what to run")
	}
	id := &identity{Process: p}
	switch {
	case len(p.Args) == 0 || p.Args[0] == "":
		return nil, fmt.Errorf("process.args: is empty: give the command to run")
	case !path.IsAbs(p.Cwd):
		return nil, fmt.Errorf("process.cwd %q: give an absolute path", p.Cwd)
	}
	for _, s := range append(append([]string{p.Cwd, p.ApparmorProfile, p.SelinuxLabel}, p.Args...), p.Env...) {
		if strings.ContainsRune(s, 0) {
			return nil, fmt.Errorf("process: %q contains a NUL character", s)
		}
	}
	for i, e := range p.Env {
		if name, _, ok := strings.Cut(e, "="); !ok || name == "" {
			return nil, fmt.Errorf("process.env[%d] %q: give NAME=value", i, e)
		}
	}
	if err := checkUser(&p.User); err != nil {
		return nil, err
	}
	var err error
	if id.attributes, err = parseAttributes(p); err != nil {
		return nil, err
	}
	if id.caps, id.unknown, err = parseCapabilities(p.Capabilities); err != nil {
		return nil, err
	}
	id.hollow = id.caps.settleAmbient()
	id.limits, err = parseLimits(p.Rlimits)
	return id, err
}

// checkUser refuses the number that means "leave it as it is" to the kernel: the
// process would be root.
func checkUser(u *specs.User) error {
	const none = 1<<32 - 1
	switch {
	case u.UID == none:
		return fmt.Errorf("process.user.uid %d: is no user: give a number below it", u.UID)
	case u.GID == none:
		return fmt.Errorf("process.user.gid %d: is no group: give a number below it", u.GID)
	case slices.Contains(u.AdditionalGids, none):
		return fmt.Errorf("process.user.additionalGids %d: is no group: give numbers below it", u.AdditionalGids)
	}
	return nil
}

// resources are the limits of a process (getrlimit(2)). A map would be made at each start
// of each command.
var resources = [...]struct {
	name string
	id   int
}{
	{"RLIMIT_AS", unix.RLIMIT_AS}, {"RLIMIT_CORE", unix.RLIMIT_CORE}, {"RLIMIT_CPU", unix.RLIMIT_CPU},
	{"RLIMIT_DATA", unix.RLIMIT_DATA}, {"RLIMIT_FSIZE", unix.RLIMIT_FSIZE}, {"RLIMIT_LOCKS", unix.RLIMIT_LOCKS},
	{"RLIMIT_MEMLOCK", unix.RLIMIT_MEMLOCK}, {"RLIMIT_MSGQUEUE", unix.RLIMIT_MSGQUEUE}, {"RLIMIT_NICE", unix.RLIMIT_NICE},
	{"RLIMIT_NOFILE", unix.RLIMIT_NOFILE}, {"RLIMIT_NPROC", unix.RLIMIT_NPROC}, {"RLIMIT_RSS", unix.RLIMIT_RSS},
	{"RLIMIT_RTPRIO", unix.RLIMIT_RTPRIO}, {"RLIMIT_RTTIME", unix.RLIMIT_RTTIME},
	{"RLIMIT_SIGPENDING", unix.RLIMIT_SIGPENDING}, {"RLIMIT_STACK", unix.RLIMIT_STACK},
}

// resource is the kernel's number of a limit.
func resource(name string) (id int, ok bool) {
	for _, r := range resources {
		if r.name == name {
			return r.id, true
		}
	}
	return 0, false
}

func parseLimits(list []specs.POSIXRlimit) (limits []limit, err error) {
	seen := map[string]bool{}
	for i, l := range list {
		where := fmt.Sprintf("process.rlimits[%d]", i)
		id, ok := resource(l.Type)
		switch {
		case !ok:
			return nil, fmt.Errorf("%s.type %q: there is no such limit (getrlimit(2) has the names)", where, l.Type)
		case seen[l.Type]:
			return nil, fmt.Errorf("%s.type %s is listed twice", where, l.Type)
		case l.Soft > l.Hard:
			return nil, fmt.Errorf("%s: soft %d is above hard %d", where, l.Soft, l.Hard)
		}
		seen[l.Type] = true
		limits = append(limits, limit{id, l.Type, l.Soft, l.Hard})
	}
	return limits, nil
}

// options of a process that are not the spec's.
type processOptions struct {
	parentDeath bool // SIGKILL when the parent dies
	streams     [3]stream
	terminal    *terminal // the process's, if it has one
	hooks       *setupHooks
	answers     program.Value // from where the answer about a seccomp listener comes
}

// keep moves the descriptors that are of use later behind those of the executed
// program, and returns how many they are: the state for hooks comes first.
func (o *processOptions) keep(p *program.Program, f *filter) (n uint64) {
	first := p.Own().Address() + 1
	hooked := o.hooks != nil && len(o.hooks.StartContainer) > 0
	if hooked {
		n = 1
	}
	if f != nil && f.agent != nil && o.answers.Address() != p.Report().Address() {
		// Before the other one, which may take the number of this.
		o.keepAnswers(p, first+n)
		n++
	}
	if hooked {
		// EINVAL: it is there already.
		p.Call(unix.SYS_DUP3, p.File(o.hooks.created, "state for hooks"), program.Int(first), program.Sym(unix.O_CLOEXEC, "O_CLOEXEC")).
			For("keep", "the state for hooks").Tolerate(unix.EINVAL)
	}
	return n
}

// steps appends what makes the process what its spec says, and the execve. The
// process is in the container's root, as its root user.
func (id *identity) steps(p *program.Program, o processOptions) {
	if o.terminal != nil {
		o.terminal.control(p, id.User)
		o.streams = [3]stream{}
	}
	// The working directory must not be one of the set-up's descriptors
	// (CVE-2024-21626), for instance of what lies below a masked path.
	kept := o.keep(p, id.filter)
	p.Call(unix.SYS_CLOSE_RANGE, program.Int(p.Own().Address()+1+kept), program.Int(^uint32(0)), program.Int(0)).For("close", "the set-up's descriptors")
	id.adopt(p, o.streams)
	entered := id.enterCwd(p)
	groups := make([]byte, 0, 4*len(id.User.AdditionalGids))
	for _, g := range id.User.AdditionalGids {
		groups = binary.LittleEndian.AppendUint32(groups, g)
	}
	id.attributes.set(p)
	for _, l := range id.limits {
		id.limit(p, l)
	}
	id.caps.bound(p)
	p.Call(unix.SYS_SETGROUPS, program.Int(len(id.User.AdditionalGids)), p.Bytes(groups, fmt.Sprint(id.User.AdditionalGids))).
		For("set", "the additional groups").Tolerate(id.keepsGroups()...)
	if id.User.UID != 0 {
		keepCaps(p, 1)
	}
	gid, uid := program.Int(id.User.GID), program.Int(id.User.UID)
	p.Call(unix.SYS_SETRESGID, gid, gid, gid).For(opGroup, fmt.Sprint(id.User.GID))
	p.Call(unix.SYS_SETRESUID, uid, uid, uid).For(opUser, fmt.Sprint(id.User.UID))
	if id.User.UID != 0 {
		keepCaps(p, 0)
	}
	id.retryCwd(p, entered)
	id.capsForFilter().set(p)
	if id.NoNewPrivileges {
		prctl(p, unix.PR_SET_NO_NEW_PRIVS, "PR_SET_NO_NEW_PRIVS", 1).For("set", "no_new_privs")
	}
	umask := uint32(0o022)
	if id.User.Umask != nil {
		umask = *id.User.Umask
	}
	p.Call(unix.SYS_UMASK, program.Octal(umask))
	if o.parentDeath {
		// A change of credentials resets it. Should the parent have died
		// already, the next message ends the process.
		prctl(p, unix.PR_SET_PDEATHSIG, "PR_SET_PDEATHSIG", int(unix.SIGKILL))
	}
	undumpable(p) // the change of credentials may have reset it
	if o.hooks != nil {
		o.hooks.startContainer(p, program.Int(p.Own().Address()+1), unique(id.Env), func() { id.loadForHook(p) })
	}
	p.Executing()
	id.load(p, o.answers)
	id.execve(p)
}

func prctl(p *program.Program, option uint64, name string, arg int) *program.Step {
	zero := program.Int(0)
	return p.Call(unix.SYS_PRCTL, program.Sym(option, name), program.Int(arg), zero, zero, zero)
}

// keepCaps keeps the capabilities while the user changes.
func keepCaps(p *program.Program, on int) {
	prctl(p, unix.PR_SET_KEEPCAPS, "PR_SET_KEEPCAPS", on)
}

func (id *identity) limit(p *program.Program, l limit) {
	rlimit := binary.LittleEndian.AppendUint64(nil, l.soft)
	rlimit = binary.LittleEndian.AppendUint64(rlimit, l.max)
	p.Call(unix.SYS_PRLIMIT64, program.Int(0), program.Sym(l.resource, l.name),
		p.Bytes(rlimit, fmt.Sprintf("{%d, %d}", l.soft, l.max)), program.Null).For("set", l.name)
}

// enterCwd makes the working directory where it is missing and enters it. Where
// root may not but the user perhaps may (FUSE, NFS), retryCwd does it later;
// what is returned is then no descriptor.
//
// The magic links of procfs, such as /proc/1/root, are not followed: they could
// lead out of the container, and an image chooses the working directory.
func (id *identity) enterCwd(p *program.Program) *program.Var {
	fd, entered, missing, later := p.Var("dir"), p.Var("entered"), p.Label(), p.Label()
	p.Set(entered, ^uint64(0))
	var denied []unix.Errno
	if id.User.UID != 0 {
		denied = []unix.Errno{unix.EACCES}
	}
	have := p.Label()
	openDir(p, id.Cwd, fd).Tolerate(unix.ENOENT).Tolerate(denied...).Else(missing).Then(have).
		For("change directory to", id.Cwd)
	p.Here(missing)
	parent := "/"
	for _, name := range strings.Split(strings.Trim(path.Clean(id.Cwd), "/"), "/") {
		openDir(p, parent, fd).Tolerate(denied...).Else(later).For("open", parent)
		parent = path.Join(parent, name)
		p.Call(unix.SYS_MKDIRAT, fd.Value(), p.Str(name), program.Octal(0o755)).
			Tolerate(unix.EEXIST).Tolerate(denied...).For("make the working directory", parent)
	}
	openDir(p, id.Cwd, fd).Tolerate(denied...).Else(later).For("change directory to", id.Cwd)
	p.Here(have)
	p.Call(unix.SYS_FCHDIR, fd.Value()).Tolerate(denied...).Else(later).For("change directory to", id.Cwd)
	if id.User.UID != 0 {
		p.Call(unix.SYS_FCNTL, fd.Value(), program.Sym(unix.F_DUPFD_CLOEXEC, "F_DUPFD_CLOEXEC"), program.Int(0)).Into(entered)
	}
	p.Here(later)
	return entered
}

// retryCwd enters the working directory as the user, if root could not.
func (id *identity) retryCwd(p *program.Program, entered *program.Var) {
	if id.User.UID == 0 {
		return
	}
	fd, done := p.Var("dir"), p.Label()
	p.Call(unix.SYS_FCNTL, entered.Value(), program.Sym(unix.F_GETFD, "F_GETFD")).Tolerate(unix.EBADF).Then(done)
	openDir(p, id.Cwd, fd).For("change directory to", id.Cwd)
	p.Call(unix.SYS_FCHDIR, fd.Value()).For("change directory to", id.Cwd)
	p.Here(done)
}

// openDir appends the opening of a directory, through no magic link.
func openDir(p *program.Program, name string, into *program.Var) *program.Step {
	le := binary.LittleEndian
	how := le.AppendUint64(nil, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC) // struct open_how
	how = le.AppendUint64(le.AppendUint64(how, 0), unix.RESOLVE_NO_MAGICLINKS)
	return p.Call(unix.SYS_OPENAT2, program.Sym(^uint64(99), "AT_FDCWD"), p.Str(name),
		p.Bytes(how, "{O_PATH|O_DIRECTORY, RESOLVE_NO_MAGICLINKS}"), program.Int(len(how))).Into(into)
}

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// candidates are the files that a command may be, in the order of PATH.
func candidates(command string, env []string) []string {
	if strings.Contains(command, "/") {
		return []string{command}
	}
	var list []string
	for _, dir := range strings.Split(pathOf(env), ":") {
		if dir == "" {
			dir = "."
		}
		list = append(list, dir+"/"+command)
	}
	return list
}

// pathOf is the PATH of env, where the last one counts.
func pathOf(env []string) string {
	value := defaultPath
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			value = v
		}
	}
	return value
}

// execve appends the search for the command: the first that can be executed.
func (id *identity) execve(p *program.Program) {
	args, env := p.Strs(id.Args), p.Strs(unique(id.Env))
	list := candidates(id.Args[0], id.Env)
	for i, file := range list {
		s := p.Call(unix.SYS_EXECVE, p.Str(file), args, env).For(opExecute, id.Args[0])
		if i < len(list)-1 {
			s.Tolerate(unix.ENOENT, unix.ENOTDIR, unix.EACCES)
		}
	}
}

// look appends a look at the command, for who waits to execute it: engines expect
// of create that it tells a missing one. Nothing relative to the working directory
// is looked for, which is not entered yet; what the user may not execute comes out
// with the start.
func (id *identity) look(p *program.Program) {
	found := p.Label()
	list := candidates(id.Args[0], id.Env)
	if slices.ContainsFunc(list, func(file string) bool { return !path.IsAbs(file) }) {
		return
	}
	for i, file := range list {
		s := p.Call(unix.SYS_FACCESSAT, program.Sym(^uint64(99), "AT_FDCWD"), p.Str(file), program.Sym(unix.F_OK, "F_OK")).
			Tolerate(unix.EACCES).Then(found).For(opExecute, id.Args[0])
		if i < len(list)-1 {
			s.Tolerate(unix.ENOENT, unix.ENOTDIR)
		}
	}
	p.Here(found)
}

const (
	opExecute = "execute"
	opUser    = "become user"
	opGroup   = "become group"
)

// unique keeps the last of variables that come twice.
func unique(env []string) []string {
	last := map[string]int{}
	for i, e := range env {
		name, _, _ := strings.Cut(e, "=")
		last[name] = i
	}
	if len(last) == len(env) {
		return env
	}
	var list []string
	for i, e := range env {
		if name, _, _ := strings.Cut(e, "="); last[name] == i {
			list = append(list, e)
		}
	}
	return list
}
