package pod

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/seccomp"
	"github.com/peapod/peapod/internal/strict"
)

// SeccompProfile says which system calls a container's processes may make.
type SeccompProfile struct {
	Type SeccompType `json:"type"`
	// LocalhostProfile is, for SeccompLocalhost, the path of a profile,
	// relative to the spec's file as images are: that of the OCI, or of
	// Docker and podman, whose rules name conditions.
	LocalhostProfile string `json:"localhostProfile,omitempty"`
}

// SeccompType is a kind of profile.
type SeccompType string

// The kinds of profiles; SeccompRuntimeDefault where the spec is silent.
const (
	// SeccompRuntimeDefault is the profile of the container engines: what
	// programs need, and what the container's capabilities are for.
	SeccompRuntimeDefault SeccompType = "RuntimeDefault"
	// SeccompUnconfined is none.
	SeccompUnconfined SeccompType = "Unconfined"
	// SeccompLocalhost is one in a file.
	SeccompLocalhost SeccompType = "Localhost"
)

func (ps *problems) seccomp(at string, s *SeccompProfile) {
	switch {
	case s == nil:
	case s.Type == "":
		ps.addf(at+".type", "missing; use RuntimeDefault, Unconfined or Localhost")
	case s.Type == SeccompLocalhost && s.LocalhostProfile == "":
		ps.addf(at+".localhostProfile", "missing; type Localhost takes the path of a profile from here")
	case s.Type == SeccompLocalhost:
	case s.Type != SeccompRuntimeDefault && s.Type != SeccompUnconfined:
		ps.oneOf(at+".type", string(s.Type), "RuntimeDefault", "Unconfined", "Localhost")
	case s.LocalhostProfile != "":
		ps.addf(at+".localhostProfile", "is for type Localhost only, the type is %s", s.Type)
	}
}

// seccomp is the profile of the container at index i, which has the capabilities
// caps.
func (p *Pod) seccomp(i int, caps []string) (*specs.LinuxSeccomp, error) {
	at, s := "spec.securityContext", (*SeccompProfile)(nil)
	if c := p.Spec.SecurityContext; c != nil {
		s = c.SeccompProfile
	}
	if c := p.Spec.Containers[i].SecurityContext; c != nil && c.SeccompProfile != nil {
		at, s = containerPath(i)+".securityContext", c.SeccompProfile
	}
	switch {
	case s == nil || s.Type == SeccompRuntimeDefault:
		return seccomp.Default(runtime.GOARCH, caps), nil
	case s.Type == SeccompUnconfined:
		return nil, nil
	}
	profile, err := p.readProfile(s.LocalhostProfile, caps)
	if err != nil {
		return nil, p.Errorf(at+".seccompProfile.localhostProfile", "%w", err)
	}
	return profile, nil
}

// maxProfile is how much of a profile's file is read; the engines' has 13 KiB.
const maxProfile = 1 << 20

// readProfile reads the profile of a container with the capabilities caps.
func (p *Pod) readProfile(name string, caps []string) (*specs.LinuxSeccomp, error) {
	path, err := p.absolute(name)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("seccomp profile: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("seccomp profile: %s is no file", path)
	case info.Size() > maxProfile:
		return nil, fmt.Errorf("seccomp profile: %s has more than %d bytes", path, maxProfile)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("seccomp profile: %w", err)
	}
	d, err := strict.Parse(path, data)
	if err != nil {
		return nil, err
	}
	f := &seccomp.File{}
	if err := d.Decode(f); err != nil {
		return nil, err
	}
	profile, err := f.Profile(seccomp.Machine{Arch: runtime.GOARCH, Release: kernelRelease(), Caps: caps})
	if wrong := (*seccomp.Error)(nil); errors.As(err, &wrong) {
		err = d.Errorf(wrong.Field, "%w", wrong.Err)
	}
	return profile, err
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}
