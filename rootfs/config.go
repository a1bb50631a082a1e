package rootfs

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Config says what a container's root file system is made of.
type Config struct {
	// Spec is the container's; Root, Mounts and Linux (Devices,
	// MaskedPaths, ReadonlyPaths, RootfsPropagation) are looked at.
	Spec *specs.Spec
	// Bundle is the directory that relative paths of Spec are relative to.
	Bundle string
	// Overlay, when not nil, keeps the container's writes apart from its
	// image.
	Overlay *Overlay
	// UserNamespace tells that the container has a user namespace other
	// than the caller's: devices are then bound, since they cannot be made.
	UserNamespace bool
	// Terminal asks for a pseudo-terminal of the container's own devpts.
	Terminal bool
	// NoPivot uses chroot(2) instead of pivot_root(2), for a host whose own
	// root is a ramfs.
	NoPivot bool
}

// Overlay is a place for the writes of one container.
type Overlay struct {
	// Upper and Work are empty directories of one file system, made by the
	// caller and removed by it afterwards.
	Upper, Work string
}

// mountOf is a mount of the spec with its options sorted.
type mountOf struct {
	target string
	kind   string
	source string
	options
}

// mounts checks and sorts the spec's mounts.
func (c *Config) mounts() ([]mountOf, error) {
	list := make([]mountOf, 0, len(c.Spec.Mounts))
	for _, m := range c.Spec.Mounts {
		o, err := parseOptions(m.Options)
		if err == nil {
			err = checkMount(&m, &o)
		}
		if err != nil {
			// Not by number: the list may be longer than the user's.
			return nil, fmt.Errorf("mounts: %s: %w", m.Destination, err)
		}
		list = append(list, mountOf{target: clean(m.Destination), kind: m.Type, source: m.Source, options: o})
	}
	return list, nil
}

func checkMount(m *specs.Mount, o *options) error {
	switch {
	case m.Destination == "":
		return fmt.Errorf("destination is empty: give the path inside the container")
	case strings.ContainsRune(m.Destination+m.Source+strings.Join(m.Options, ""), 0):
		return fmt.Errorf("a path or option contains a NUL character")
	case len(m.UIDMappings)+len(m.GIDMappings) > 0:
		return fmt.Errorf("uidMappings and gidMappings: id-mapped mounts are not supported yet")
	case clean(m.Destination) == "/":
		return fmt.Errorf("the root itself cannot be mounted over: set root.path instead")
	}
	if m.Type == "bind" || m.Type == "none" || m.Type == "" {
		o.bind = o.bind || m.Type == "bind" || m.Type == ""
		if !o.bind {
			return fmt.Errorf("type %q without the option bind or rbind", m.Type)
		}
	}
	if o.bind && m.Source == "" {
		return fmt.Errorf("a bind mount needs a source")
	}
	if o.bind && len(o.data) > 0 {
		return fmt.Errorf("option %q: unknown, and a bind mount has no file system to pass it to", o.data[0][0])
	}
	return checkProc(clean(m.Destination), m.Type)
}

// insideProc are the files of procfs that may be mounted over: what lxcfs
// replaces, and what is no way into the kernel.
var insideProc = []string{
	"/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat",
	"/proc/swaps", "/proc/uptime", "/proc/loadavg", "/proc/slabinfo",
	"/proc/net/dev", "/proc/sys/kernel/ns_last_pid", "/proc/sys/crypto/fips_enabled",
}

// checkProc refuses mounts that hide parts of /proc, with which security labels
// could be faked (CVE-2019-16884, CVE-2019-19921).
func checkProc(target, kind string) error {
	if strings.HasPrefix(target, "/proc/") && !slices.Contains(insideProc, target) {
		return fmt.Errorf("nothing may be mounted inside /proc there")
	}
	return nil
}

// clean makes path absolute below the root.
func clean(path string) string { return filepath.Join("/", path) }

// hostPath makes path of the spec absolute on the host.
func (c *Config) hostPath(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(c.Bundle, path)
}

// ownDev tells whether /dev is to be filled: not where the host's is bound.
func ownDev(mounts []mountOf) bool {
	for _, m := range mounts {
		if m.bind && m.target == "/dev" {
			return false
		}
	}
	return true
}
