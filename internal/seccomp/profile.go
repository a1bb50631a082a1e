package seccomp

import (
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// profile is a profile, checked and with its names looked up.
type profile struct {
	otherwise action // for calls without a rule
	archs     []arch // those that a process may use here, the native one first
	flags     uint32 // of seccomp(2)
	notifies  bool
	rules     []rule
	named     []*systemCall // all of them, with rule or not
	unknown   []string
}

// rule is what to do with some system calls. Without conditions it always
// holds.
type rule struct {
	calls      []*systemCall
	conditions []condition
	action     action
}

// tsync is a flag of profiles that says what is so anyway: the process has no
// other threads.
const tsync = "SECCOMP_FILTER_FLAG_TSYNC"

var flags = [...]struct {
	name specs.LinuxSeccompFlag
	bit  uint32
}{
	{tsync, 0}, {specs.LinuxSeccompFlagLog, unix.SECCOMP_FILTER_FLAG_LOG},
	{specs.LinuxSeccompFlagSpecAllow, unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW},
	{specs.LinuxSeccompFlagWaitKillableRecv, waitKillable},
}

const waitKillable = 1 << 5 // SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV

// parse checks a profile for a machine whose architecture Go calls goarch.
func parse(s *specs.LinuxSeccomp, goarch string) (p *profile, err error) {
	p = &profile{}
	if p.otherwise, err = parseAction(s.DefaultAction, s.DefaultErrnoRet, "defaultAction", "defaultErrnoRet"); err != nil {
		return nil, err
	}
	if p.archs, err = parseArchitectures(s.Architectures, goarch); err != nil {
		return nil, err
	}
	p.notifies = p.otherwise == unix.SECCOMP_RET_USER_NOTIF
	p.rules = make([]rule, 0, len(s.Syscalls))
	p.named = make([]*systemCall, 0, 512)
	for i := range s.Syscalls {
		if err := p.add(&s.Syscalls[i]); err != nil {
			return nil, within(fmt.Sprintf("syscalls[%d]", i), err)
		}
	}
	if p.flags, err = parseFlags(s.Flags, p.notifies); err != nil {
		return nil, err
	}
	return p, p.checkListener(s)
}

// parseArchitectures returns the architectures that processes can use on a
// machine of goarch, if list has them. The machine's own is always among them.
func parseArchitectures(list []specs.Arch, goarch string) (archs []arch, err error) {
	var possible []arch
	switch goarch {
	case "amd64":
		possible = []arch{amd64, x86, x32}
	case "arm64":
		possible = []arch{arm64, arm}
	default:
		return nil, wrong("architectures", "filters are not made for %s", goarch)
	}
	archs = append(archs, possible[0])
	for i, name := range list {
		a := arch(slices.IndexFunc(abouts[:], func(a about) bool { return a.name == name }))
		switch {
		case slices.Contains(foreign[:], name):
		case int8(a) < 0:
			return nil, wrong(fmt.Sprintf("architectures[%d]", i), "there is no architecture %q: give SCMP_ARCH_X86_64, _X86, _X32, _AARCH64, _ARM", name)
		case slices.Contains(possible, a) && !slices.Contains(archs, a):
			archs = append(archs, a)
		}
	}
	return archs, nil
}

// parseFlags returns the flags for seccomp(2). Where a profile has no list of
// them, not even an empty one, that is SPEC_ALLOW (as with runc since 1.1):
// programs go on without the mitigation that was for sandboxes in browsers.
func parseFlags(list []specs.LinuxSeccompFlag, notifies bool) (bits uint32, err error) {
	if list == nil {
		bits = unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
	}
	for i, name := range list {
		at := -1
		for j := range flags {
			if flags[j].name == name {
				at = j
			}
		}
		if at < 0 {
			return 0, wrong(fmt.Sprintf("flags[%d]", i), "there is no flag %q: give SECCOMP_FILTER_FLAG_LOG, _SPEC_ALLOW, _TSYNC or _WAIT_KILLABLE_RECV", name)
		}
		bits |= flags[at].bit
	}
	if notifies {
		return bits | unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, nil
	}
	return bits &^ waitKillable, nil // there is nothing to wait for, and the kernel refuses it
}

// add reads a rule of the profile.
func (p *profile) add(s *specs.LinuxSyscall) error {
	if len(s.Names) == 0 {
		return wrong("names", "is empty: name the system calls that the rule is for")
	}
	var r rule
	var err error
	if r.action, err = parseAction(s.Action, s.ErrnoRet, "action", "errnoRet"); err != nil {
		return err
	}
	for j := range s.Args {
		c, err := parseCondition(&s.Args[j])
		if err != nil {
			return within(fmt.Sprintf("args[%d]", j), err)
		}
		r.conditions = append(r.conditions, c)
	}
	from := len(p.named)
	for j, name := range s.Names {
		if name == "" {
			return wrong(fmt.Sprintf("names[%d]", j), "is empty: name a system call")
		}
		if call := find(name); call != nil {
			p.named = append(p.named, call)
		} else {
			p.unknown = append(p.unknown, name)
		}
	}
	r.calls = p.named[from:len(p.named):len(p.named)]
	p.notifies = p.notifies || r.action == unix.SECCOMP_RET_USER_NOTIF
	if r.action == p.otherwise {
		return nil // runc leaves them out: others for the same call count
	}
	if !sharedArgument(r.conditions) {
		p.rules = append(p.rules, r)
		return nil
	}
	for _, c := range r.conditions {
		p.rules = append(p.rules, rule{r.calls, []condition{c}, r.action})
	}
	return nil
}

// checkListener checks that there is somebody to notify.
func (p *profile) checkListener(s *specs.LinuxSeccomp) error {
	switch {
	case p.notifies && s.ListenerPath == "":
		return wrong("listenerPath", "is missing, and SCMP_ACT_NOTIFY needs it: give the unix socket of the agent")
	case s.ListenerMetadata != "" && s.ListenerPath == "":
		return wrong("listenerMetadata", "is of no use without listenerPath")
	}
	return nil
}
