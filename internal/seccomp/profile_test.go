package seccomp

import (
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestRefused(t *testing.T) {
	number := func(n uint) *uint { return &n }
	one := func(r specs.LinuxSyscall) *specs.LinuxSeccomp {
		if r.Names == nil {
			r.Names = []string{"read"}
		}
		if r.Action == "" {
			r.Action = specs.ActAllow
		}
		return &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{{Names: []string{"write"}, Action: specs.ActAllow}, r}}
	}
	for want, s := range map[string]*specs.LinuxSeccomp{
		"defaultAction: is missing":                                     {Syscalls: []specs.LinuxSyscall{{}}},
		`defaultAction: there is no action "SCMP_ACT_DENY"`:             {DefaultAction: "SCMP_ACT_DENY"},
		"defaultErrnoRet: SCMP_ACT_KILL has no number":                  {DefaultAction: specs.ActKill, DefaultErrnoRet: number(1)},
		"defaultErrnoRet: 4096 is too much":                             {DefaultAction: specs.ActErrno, DefaultErrnoRet: number(4096)},
		`architectures[1]: there is no architecture "SCMP_ARCH_AMD64"`:  {DefaultAction: specs.ActErrno, Architectures: []specs.Arch{specs.ArchX86, "SCMP_ARCH_AMD64"}},
		`flags[0]: there is no flag "SECCOMP_FILTER_FLAG_NEW_LISTENER"`: {DefaultAction: specs.ActErrno, Flags: []specs.LinuxSeccompFlag{"SECCOMP_FILTER_FLAG_NEW_LISTENER"}},
		"listenerMetadata: is of no use":                                {DefaultAction: specs.ActErrno, ListenerMetadata: "x"},
		"listenerPath: is missing":                                      one(specs.LinuxSyscall{Action: specs.ActNotify}),
		"syscalls[1].names: is empty":                                   one(specs.LinuxSyscall{Names: []string{}}),
		"syscalls[1].names[1]: is empty":                                one(specs.LinuxSyscall{Names: []string{"read", ""}}),
		`syscalls[1].action: there is no action "allow"`:                one(specs.LinuxSyscall{Action: "allow"}),
		"syscalls[1].errnoRet: SCMP_ACT_ALLOW has no":                   one(specs.LinuxSyscall{ErrnoRet: number(1)}),
		"syscalls[1].errnoRet: 65536 is too much":                       one(specs.LinuxSyscall{Action: specs.ActTrace, ErrnoRet: number(65536)}),
		"syscalls[1].args[0].index: there is no argument 6":             one(specs.LinuxSyscall{Args: []specs.LinuxSeccompArg{{Index: 6, Op: specs.OpEqualTo}}}),
		`syscalls[1].args[1].op: there is no operator "=="`:             one(specs.LinuxSyscall{Args: []specs.LinuxSeccompArg{{Op: specs.OpEqualTo}, {Op: "=="}}}),
	} {
		if _, err := Compile(s, "amd64"); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if _, err := Compile(&specs.LinuxSeccomp{DefaultAction: specs.ActErrno}, "s390x"); err == nil {
		t.Error("a filter is made for s390x")
	}
}

func TestNothing(t *testing.T) {
	for _, s := range []*specs.LinuxSeccomp{nil, {}, {Architectures: []specs.Arch{specs.ArchX86}}} {
		if f, err := Compile(s, "amd64"); f != nil || err != nil {
			t.Errorf("%+v: %v, %v", s, f, err)
		}
	}
}

func TestFlags(t *testing.T) {
	notify := []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActNotify}}
	for _, c := range []struct {
		flags []specs.LinuxSeccompFlag
		rules []specs.LinuxSyscall
		want  uint32
	}{
		{nil, nil, unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW},
		{[]specs.LinuxSeccompFlag{}, nil, 0},
		{[]specs.LinuxSeccompFlag{tsync, specs.LinuxSeccompFlagLog}, nil, unix.SECCOMP_FILTER_FLAG_LOG},
		{[]specs.LinuxSeccompFlag{specs.LinuxSeccompFlagWaitKillableRecv}, nil, 0},
		{[]specs.LinuxSeccompFlag{specs.LinuxSeccompFlagWaitKillableRecv}, notify, waitKillable | unix.SECCOMP_FILTER_FLAG_NEW_LISTENER},
	} {
		f := mustCompile(t, &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: "/x", Flags: c.flags, Syscalls: c.rules}, "arm64")
		if f.Flags != c.want || f.Notifies() != (c.rules != nil) {
			t.Errorf("%q: flags %#x, notifies %v; want %#x", c.flags, f.Flags, f.Notifies(), c.want)
		}
	}
}

func TestTable(t *testing.T) {
	if !slices.IsSortedFunc(table[:], func(a, b systemCall) int { return strings.Compare(a.name, b.name) }) {
		t.Error("the table is not sorted")
	}
	for name, want := range map[string][architectures]int32{
		"read":      {0, 3, x32Bit, 63, 3},
		"execve":    {59, 11, x32Bit | 520, 221, 11},
		"openat2":   {437, 437, x32Bit | 437, 437, 437},
		"cachestat": {451, 451, x32Bit | 451, 451, 451},
		"uretprobe": {335, none, none, none, none},
		"set_tls":   {none, none, none, none, 0xf0005},
		"recv":      {none, none, none, none, 291},
	} {
		if call := find(name); call == nil || call.number != want {
			t.Errorf("%s: %v, want %v", name, call, want)
		}
	}
	if find("") != nil || find("zzz") != nil || find("rea") != nil {
		t.Error("what is not there is found")
	}
}

func TestNames(t *testing.T) {
	f := mustCompile(t, &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{
		{Names: []string{"no_such_call", "read"}, Action: specs.ActErrno},
	}}, "amd64")
	if !slices.Equal(f.Unknown, []string{"no_such_call"}) {
		t.Errorf("unknown: %q", f.Unknown)
	}
	if f.Permits("amd64", 0) || !f.Permits("amd64", 1) {
		t.Error("the rest of the rule is not kept")
	}
}
