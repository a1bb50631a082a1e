package seccomp

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// defaultRule is a rule of the default profile and whom it is for.
type defaultRule struct {
	only    string // architecture, as Go calls it; "" is all
	with    string // capability that a container needs to have for it
	without string // or not to have
	rule    specs.LinuxSyscall
}

var (
	eperm  uint = 1
	enosys uint = 38
)

// Default is the profile that container engines apply where nothing else is
// said, for a container whose bounding set has the capabilities caps
// ("CAP_CHOWN"), on goarch. It is that of Docker (github.com/moby/profiles). It
// shares its parts with other results: do not change them.
func Default(goarch string, caps []string) *specs.LinuxSeccomp {
	p := &specs.LinuxSeccomp{
		DefaultAction: specs.ActErrno, DefaultErrnoRet: &eperm,
		Syscalls: make([]specs.LinuxSyscall, 0, len(defaultRules)),
	}
	switch goarch {
	case "amd64":
		p.Architectures = []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32}
	case "arm64":
		p.Architectures = []specs.Arch{specs.ArchAARCH64, specs.ArchARM}
	}
	for i := range defaultRules {
		r := &defaultRules[i]
		if (r.only == "" || r.only == goarch) && (r.with == "" || slices.Contains(caps, r.with)) &&
			(r.without == "" || !slices.Contains(caps, r.without)) {
			p.Syscalls = append(p.Syscalls, r.rule)
		}
	}
	return p
}
