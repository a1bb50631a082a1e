package seccomp

import (
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// File is a profile as files have it: that of the OCI, and what container
// engines add to it, so that one file is good for many containers and machines.
type File struct {
	DefaultAction    specs.LinuxSeccompAction `json:"defaultAction,omitempty"`
	DefaultErrnoRet  *uint                    `json:"defaultErrnoRet,omitempty"`
	DefaultErrno     string                   `json:"defaultErrno,omitempty"` // its name; podman's profiles have both
	Architectures    []specs.Arch             `json:"architectures,omitempty"`
	ArchMap          []FileArch               `json:"archMap,omitempty"`
	Flags            []specs.LinuxSeccompFlag `json:"flags,omitempty"`
	ListenerPath     string                   `json:"listenerPath,omitempty"`
	ListenerMetadata string                   `json:"listenerMetadata,omitempty"`
	Syscalls         []FileSyscall            `json:"syscalls,omitempty"`
}

// FileArch is a machine's architecture and others that its processes may use.
type FileArch struct {
	Architecture     specs.Arch   `json:"architecture"`
	SubArchitectures []specs.Arch `json:"subArchitectures,omitempty"`
}

// FileSyscall is a rule, and for whom it is.
type FileSyscall struct {
	Name     string                   `json:"name,omitempty"`
	Names    []string                 `json:"names,omitempty"`
	Action   specs.LinuxSeccompAction `json:"action"`
	ErrnoRet *uint                    `json:"errnoRet,omitempty"`
	Errno    string                   `json:"errno,omitempty"`
	Args     []FileArgument           `json:"args,omitempty"`
	Comment  string                   `json:"comment,omitempty"`
	Includes FileCondition            `json:"includes,omitzero"`
	Excludes FileCondition            `json:"excludes,omitzero"`
}

// FileArgument is a condition on an argument.
type FileArgument struct {
	Index    uint                       `json:"index"`
	Value    uint64                     `json:"value"`
	ValueTwo uint64                     `json:"valueTwo,omitempty"`
	Op       specs.LinuxSeccompOperator `json:"op"`
}

// FileCondition names machines and containers.
type FileCondition struct {
	Arches    []string `json:"arches,omitempty"` // as Go calls them
	Caps      []string `json:"caps,omitempty"`
	MinKernel string   `json:"minKernel,omitempty"`
}

// Machine is what the conditions of a File are about.
type Machine struct {
	Arch    string   // as Go calls it
	Release string   // of the kernel: "6.1.0-49"
	Caps    []string // the container's bounding set: "CAP_CHOWN"
}

// Profile is what the file means for a container. Errors are *Error, and are
// about rules for other machines too.
func (f *File) Profile(m Machine) (*specs.LinuxSeccomp, error) {
	s := &specs.LinuxSeccomp{
		DefaultAction: f.DefaultAction, DefaultErrnoRet: f.DefaultErrnoRet, Architectures: f.Architectures,
		Flags: f.Flags, ListenerPath: f.ListenerPath, ListenerMetadata: f.ListenerMetadata,
	}
	var err error
	if s.DefaultErrnoRet, err = errnoOf("defaultErrno", f.DefaultErrno, f.DefaultErrnoRet); err != nil {
		return nil, err
	}
	if len(f.Architectures) > 0 && len(f.ArchMap) > 0 {
		return nil, wrong("archMap", "there is architectures besides: give one of them")
	}
	for _, a := range f.ArchMap {
		if a.Architecture == nativeName(m.Arch) {
			s.Architectures = append([]specs.Arch{a.Architecture}, a.SubArchitectures...)
		}
	}
	var here []specs.LinuxSyscall
	for i := range f.Syscalls {
		at := fmt.Sprintf("syscalls[%d]", i)
		rule, holds, err := f.Syscalls[i].rule(m)
		if err != nil {
			return nil, within(at, err)
		}
		s.Syscalls = append(s.Syscalls, rule)
		if holds {
			here = append(here, rule)
		}
	}
	// With all rules, so that errors have the file's places.
	if _, err := Compile(s, m.Arch); err != nil {
		return nil, err
	}
	s.Syscalls = here
	return s, nil
}

func nativeName(goarch string) specs.Arch {
	if goarch == "arm64" {
		return specs.ArchAARCH64
	}
	return specs.ArchX86_64
}

// rule returns the rule of the OCI, and whether it is for the machine.
func (r *FileSyscall) rule(m Machine) (s specs.LinuxSyscall, holds bool, err error) {
	s = specs.LinuxSyscall{Names: r.Names, Action: r.Action}
	if r.Name != "" && len(r.Names) > 0 {
		return s, false, wrong("name", "there is names besides: give one of them")
	} else if r.Name != "" {
		s.Names = []string{r.Name}
	}
	if s.ErrnoRet, err = errnoOf("errno", r.Errno, r.ErrnoRet); err != nil {
		return s, false, err
	}
	for _, a := range r.Args {
		s.Args = append(s.Args, specs.LinuxSeccompArg(a))
	}
	includes, excludes, err := r.kernels(m)
	if err != nil {
		return s, false, err
	}
	for _, c := range r.Includes.Caps {
		includes = includes && slices.Contains(m.Caps, c)
	}
	for _, c := range r.Excludes.Caps {
		excludes = excludes || slices.Contains(m.Caps, c)
	}
	if len(r.Includes.Arches) > 0 && !slices.Contains(r.Includes.Arches, m.Arch) {
		includes = false
	}
	return s, includes && !excludes && !slices.Contains(r.Excludes.Arches, m.Arch), nil
}

// kernels says what the conditions on the kernel's version come to.
func (r *FileSyscall) kernels(m Machine) (includes, excludes bool, err error) {
	includes = true
	if v := r.Includes.MinKernel; v != "" {
		if includes, err = atLeast(m.Release, v); err != nil {
			return false, false, within("includes", err)
		}
	}
	if v := r.Excludes.MinKernel; v != "" {
		if excludes, err = atLeast(m.Release, v); err != nil {
			return false, false, within("excludes", err)
		}
	}
	return includes, excludes, nil
}

// atLeast compares a kernel's release with a version of two numbers.
func atLeast(release, version string) (bool, error) {
	var have, want [2]int
	if n, err := fmt.Sscanf(version, "%d.%d", &want[0], &want[1]); n != 2 || err != nil {
		return false, wrong("minKernel", "%q is no version: give two numbers, such as 4.8", version)
	}
	if n, _ := fmt.Sscanf(release, "%d.%d", &have[0], &have[1]); n != 2 {
		return false, wrong("minKernel", "the kernel's release is %q", release)
	}
	return have[0] > want[0] || have[0] == want[0] && have[1] >= want[1], nil
}

// errnoOf is the number of an errno that is given by name, unless there is one.
func errnoOf(field, name string, number *uint) (*uint, error) {
	if name == "" || number != nil {
		return number, nil
	}
	for e := unix.Errno(1); e < 256; e++ {
		if unix.ErrnoName(e) == name {
			n := uint(e)
			return &n, nil
		}
	}
	return nil, wrong(field, "there is no error %q: give one of errno(3), such as EPERM", name)
}
