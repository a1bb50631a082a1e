package runtime

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
	"github.com/peapod/peapod/namespaces"
	"github.com/peapod/peapod/rootfs"
)

// Features says what this package does with a config.json (runtime-spec,
// "Features"): whatever the machine, since it is what engines may ask for.
func Features() *features.Features {
	yes, no := true, false
	var kinds, caps []string
	for _, k := range namespaces.Kinds() {
		kinds = append(kinds, string(k))
	}
	for _, name := range capNames {
		caps = append(caps, "CAP_"+name)
	}
	return &features.Features{
		OCIVersionMin: "1.0.0", OCIVersionMax: specs.Version,
		Hooks:        []string{hookPrestart, hookCreateRuntime, hookCreateContainer, hookStartContainer, hookPoststart, hookPoststop},
		MountOptions: rootfs.MountOptions(),
		Linux: &features.Linux{
			Namespaces: kinds, Capabilities: caps,
			Cgroup:          &features.Cgroup{V1: &yes, V2: &yes, Systemd: &yes, SystemdUser: &no, Rdma: &yes},
			Seccomp:         seccompFeatures(),
			Apparmor:        &features.Apparmor{Enabled: &yes},
			Selinux:         &features.Selinux{Enabled: &yes},
			IntelRdt:        &features.IntelRdt{Enabled: &yes, Schemata: &yes, Monitoring: &yes},
			MemoryPolicy:    &features.MemoryPolicy{Modes: words(memoryModes[:]), Flags: words(memoryFlags[:])},
			MountExtensions: &features.MountExtensions{IDMap: &features.IDMap{Enabled: &yes}},
			NetDevices:      &features.NetDevices{Enabled: &yes},
		},
	}
}

// words are sorted strings of a list of any kind of them.
func words[T ~string](list []T) (sorted []string) {
	for _, w := range list {
		sorted = append(sorted, string(w))
	}
	slices.Sort(sorted)
	return sorted
}

// seccompFeatures asks the compiler: what a profile may say is what it takes.
func seccompFeatures() *features.Seccomp {
	yes := true
	f := &features.Seccomp{Enabled: &yes}
	takes := func(s *specs.LinuxSeccomp) bool {
		filter, err := newFilter(s)
		return err == nil && filter != nil
	}
	f.Actions = supported(seccompActions[:], func(a specs.LinuxSeccompAction) bool {
		return takes(profile(func(s *specs.LinuxSeccomp) { s.Syscalls[0].Action = a }))
	})
	f.Operators = supported(seccompOperators[:], func(o specs.LinuxSeccompOperator) bool {
		return takes(profile(func(s *specs.LinuxSeccomp) { s.Syscalls[0].Args = []specs.LinuxSeccompArg{{Op: o, Value: 1}} }))
	})
	f.Archs = supported(seccompArchs[:], func(a specs.Arch) bool {
		return takes(profile(func(s *specs.LinuxSeccomp) { s.Architectures = []specs.Arch{a} }))
	})
	f.KnownFlags = words(seccompFlags[:])
	f.SupportedFlags = supported(seccompFlags[:], func(flag specs.LinuxSeccompFlag) bool {
		return takes(profile(func(s *specs.LinuxSeccomp) { s.Flags = []specs.LinuxSeccompFlag{flag} }))
	})
	return f
}

// profile is a small one with a change.
func profile(change func(*specs.LinuxSeccomp)) *specs.LinuxSeccomp {
	s := &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow,
		Syscalls:      []specs.LinuxSyscall{{Names: []string{"getpid"}, Action: specs.ActErrno}},
	}
	change(s)
	return s
}

func supported[T ~string](list []T, ok func(T) bool) []string {
	return words(slices.DeleteFunc(slices.Clone(list), func(w T) bool { return !ok(w) }))
}

// What the specification knows of seccomp (config-linux.md, "Seccomp").
var (
	seccompActions = [...]specs.LinuxSeccompAction{
		specs.ActKill, specs.ActKillProcess, specs.ActKillThread, specs.ActTrap, specs.ActErrno,
		specs.ActTrace, specs.ActAllow, specs.ActLog, specs.ActNotify,
	}
	seccompOperators = [...]specs.LinuxSeccompOperator{
		specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo,
		specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpMaskedEqual,
	}
	seccompFlags = [...]specs.LinuxSeccompFlag{
		specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow, specs.LinuxSeccompFlagWaitKillableRecv, "SECCOMP_FILTER_FLAG_TSYNC",
	}
	seccompArchs = [...]specs.Arch{
		specs.ArchX86, specs.ArchX86_64, specs.ArchX32, specs.ArchARM, specs.ArchAARCH64, specs.ArchMIPS, specs.ArchMIPS64,
		specs.ArchMIPS64N32, specs.ArchMIPSEL, specs.ArchMIPSEL64, specs.ArchMIPSEL64N32, specs.ArchPPC, specs.ArchPPC64,
		specs.ArchPPC64LE, specs.ArchS390, specs.ArchS390X, specs.ArchPARISC, specs.ArchPARISC64, specs.ArchRISCV64,
		specs.ArchLOONGARCH64, specs.ArchM68K, specs.ArchSH, specs.ArchSHEB,
	}
)
