package rootfs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/program"
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
	// UserNamespace tells that the container is in a user namespace, of its own
	// or with the caller: devices are then bound, since they cannot be made.
	UserNamespace bool
	// Inside has the program open the image, the sources of binds and the
	// devices, which Open does otherwise: for a caller who may not. The program
	// is in a user namespace then, and the root of that. There are
	// no Sources then but an empty one.
	Inside bool
	// IDMap is the container's user namespace, which maps mounts that have
	// the option idmap and no mappings of their own; nil where it has none.
	IDMap *IDMap
	// Links are symbolic links that are made when all is mounted: where, and
	// what they say.
	Links [][2]string
	// MountLabel is the SELinux context of what is mounted; "" is the
	// system's own choice.
	MountLabel string
	// BeforePivot, where it is not nil, appends what is done when all is
	// mounted, while the process still sees the host's root. The container's
	// root is then mounted where its path says.
	BeforePivot func(*program.Program)
	// Terminal asks for a pseudo-terminal of the container's own devpts.
	Terminal bool
	// Detached is for a container without a mount namespace of its own: the root
	// is made outside of any (Linux 6.15), and entered by chroot(2). See
	// CheckDetached.
	Detached bool
	// NoPivot uses chroot(2) instead of pivot_root(2), for a host whose own
	// root is a ramfs.
	NoPivot bool
}

// IDMap is how a user namespace maps.
type IDMap struct {
	// Users and Groups are its maps, as far as they are known.
	Users, Groups []specs.LinuxIDMapping
	// Namespace is the namespace itself where it exists already.
	Namespace *os.File
}

// Overlay is a place for the writes of one container.
type Overlay struct {
	// Upper and Work are empty directories of one file system, made by the
	// caller and removed by it afterwards.
	Upper, Work string
}

// mountOf is a mount of the spec with its options sorted.
type mountOf struct {
	target        string
	kind          string
	source        string
	inside        string // the source's path in the root, where earlier mounts concern it
	users, groups []specs.LinuxIDMapping
	options
}

// mounts checks and sorts the spec's mounts.
func (c *Config) mounts() ([]mountOf, error) {
	list := make([]mountOf, 0, len(c.Spec.Mounts))
	for _, m := range c.Spec.Mounts {
		o := parseOptions(m.Options)
		if err := c.checkMount(&m, &o); err != nil {
			// Not by number: the list may be longer than the user's.
			return nil, fmt.Errorf("mounts: %s: %w", m.Destination, err)
		}
		s := mountOf{target: clean(m.Destination), kind: m.Type, source: m.Source, users: m.UIDMappings, groups: m.GIDMappings, options: o}
		if o.bind {
			s.inside = c.inside(m.Source, list)
		}
		list = append(list, s)
	}
	return list, nil
}

// inside is the path in the root of a bind mount's source, where a mount of
// earlier lies on or around it: what is bound is then what the container sees.
// It is "" for sources of the host.
func (c *Config) inside(source string, earlier []mountOf) string {
	if c.Spec.Root == nil || c.Overlay != nil {
		return ""
	}
	path, ok := strings.CutPrefix(c.hostPath(source), filepath.Clean(c.hostPath(c.Spec.Root.Path))+"/")
	if !ok {
		return ""
	}
	path = clean(path)
	for _, m := range earlier {
		if below(path, m.target) || below(m.target, path) {
			return path
		}
	}
	return ""
}

// below tells whether path is dir or lies in it.
func below(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

func (c *Config) checkMount(m *specs.Mount, o *options) error {
	switch {
	case m.Destination == "":
		return fmt.Errorf("destination is empty: give the path inside the container")
	case strings.ContainsRune(m.Destination+m.Source+strings.Join(m.Options, ""), 0):
		return fmt.Errorf("a path or option contains a NUL character")
	case (len(m.UIDMappings) > 0) != (len(m.GIDMappings) > 0):
		return fmt.Errorf("uidMappings and gidMappings: give both or none")
	case clean(m.Destination) == "/":
		return fmt.Errorf("the root itself cannot be mounted over: set root.path instead")
	}
	if c.Detached {
		if err := o.checkDetached(); err != nil {
			return err
		}
	}
	if o.remount {
		return checkRemount(m, o)
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
	if err := o.checkBind(); err != nil {
		return err
	}
	if o.copyUp && (o.bind || m.Type != "tmpfs") {
		return fmt.Errorf("option tmpcopyup: the mount is no tmpfs")
	}
	if err := c.checkIDMap(m, o); err != nil {
		return err
	}
	return checkProc(clean(m.Destination), m.Type)
}

// checkRemount checks a change of a mount that is there already.
func checkRemount(m *specs.Mount, o *options) error {
	switch {
	case o.idmap || o.copyUp || len(m.UIDMappings) > 0:
		return fmt.Errorf("option remount: cannot go with idmap, ridmap, tmpcopyup or mappings: they are for new mounts")
	}
	if err := o.checkBind(); err != nil {
		return err
	}
	o.bind = o.bind || m.Type == "bind"
	return nil
}

// checkBind refuses words that nobody knows, which may be typing errors. What has
// a value is for a file system, and mount(2) ignores it where there is none to
// pass it to; IgnoredOptions tells it.
func (o *options) checkBind() error {
	if !o.bind {
		return nil
	}
	for _, d := range o.data {
		if d[1] == "" {
			return fmt.Errorf("option %q: unknown, and a bind mount has no file system to pass it to", d[0])
		}
	}
	return nil
}

// IgnoredOptions are those of a mount that have no effect: a bind mount has no
// file system to pass them to.
func IgnoredOptions(m *specs.Mount) (list []string) {
	o := parseOptions(m.Options)
	if !o.bind && m.Type != "bind" {
		return nil
	}
	for _, d := range o.data {
		list = append(list, d[0])
	}
	return list
}

// checkIDMap takes mappings without an option for idmap, as the specification
// has it, and refuses to map without a map.
func (c *Config) checkIDMap(m *specs.Mount, o *options) error {
	o.idmap = o.idmap || len(m.UIDMappings) > 0
	switch {
	case !o.idmap:
		return nil
	case !o.bind:
		return fmt.Errorf("option idmap: only bind mounts can be id-mapped")
	case len(m.UIDMappings) == 0 && c.IDMap == nil:
		return fmt.Errorf("option idmap: there is no map: give uidMappings and gidMappings, or the container a user namespace")
	}
	return nil
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
		if m.bind && !m.remount && m.target == "/dev" {
			return false
		}
	}
	return true
}
