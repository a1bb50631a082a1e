package rootfs

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// options are a mount's options, sorted by what applies them.
type options struct {
	bind      bool
	recursive bool // rbind
	remount   bool
	copyUp    bool // tmpcopyup
	idmap     bool // idmap or ridmap
	idmapAll  bool // ridmap

	set, clear       uint64 // MOUNT_ATTR_* of the mount itself
	setAll, clearAll uint64 // of the mount and those below it: rro, rnosuid, …
	propagation      uint64 // MS_PRIVATE, …; 0 where none was asked for
	propagationAll   bool
	data             [][2]string // of the file system; a value "" is a flag
	super            []string    // flags of any file system: sync, dirsync, lazytime, mand, iversion
}

// attribute is what an option does to a mount (mount_setattr(2)).
type attribute struct{ set, clear uint64 }

// The tables are switches: a map would be made at each start of each command.

func attributeOf(name string) attribute {
	switch name {
	case "ro":
		return attribute{set: unix.MOUNT_ATTR_RDONLY}
	case "rw":
		return attribute{clear: unix.MOUNT_ATTR_RDONLY}
	case "nosuid":
		return attribute{set: unix.MOUNT_ATTR_NOSUID}
	case "suid":
		return attribute{clear: unix.MOUNT_ATTR_NOSUID}
	case "nodev":
		return attribute{set: unix.MOUNT_ATTR_NODEV}
	case "dev":
		return attribute{clear: unix.MOUNT_ATTR_NODEV}
	case "noexec":
		return attribute{set: unix.MOUNT_ATTR_NOEXEC}
	case "exec":
		return attribute{clear: unix.MOUNT_ATTR_NOEXEC}
	case "nodiratime":
		return attribute{set: unix.MOUNT_ATTR_NODIRATIME}
	case "diratime":
		return attribute{clear: unix.MOUNT_ATTR_NODIRATIME}
	case "noatime":
		return attribute{set: unix.MOUNT_ATTR_NOATIME, clear: unix.MOUNT_ATTR__ATIME}
	case "atime", "relatime", "nostrictatime":
		return attribute{set: unix.MOUNT_ATTR_RELATIME, clear: unix.MOUNT_ATTR__ATIME}
	case "strictatime", "norelatime":
		return attribute{set: unix.MOUNT_ATTR_STRICTATIME, clear: unix.MOUNT_ATTR__ATIME}
	case "nosymfollow":
		return attribute{set: unix.MOUNT_ATTR_NOSYMFOLLOW}
	case "symfollow":
		return attribute{clear: unix.MOUNT_ATTR_NOSYMFOLLOW}
	}
	return attribute{}
}

func propagationOf(name string) uint64 {
	switch name {
	case "private":
		return unix.MS_PRIVATE
	case "shared":
		return unix.MS_SHARED
	case "slave":
		return unix.MS_SLAVE
	case "unbindable":
		return unix.MS_UNBINDABLE
	}
	return 0
}

// ignored are options of mount(2) that have no effect on a new mount here:
// defaults, and what the kernel dropped or never looks at.
func ignored(name string) bool {
	switch name {
	case "defaults", "loud", "silent":
		return true
	}
	return false
}

// superFlag is the flag of a file system as a whole that an option switches on
// or off; "" where it is no such option.
func superFlag(name string) (flag string, on bool) {
	switch name {
	case "sync", "dirsync", "lazytime", "mand", "iversion":
		return name, true
	case "async":
		return "sync", false
	case "nolazytime", "nomand", "noiversion":
		return name[2:], false
	}
	return "", false
}

// parseOptions sorts the options of a mount (runtime-spec, "Mounts"). Those
// which no table knows are the file system's own.
func parseOptions(list []string) options {
	var o options
	for _, name := range list {
		o.add(name)
	}
	return o
}

func (o *options) add(name string) {
	short := strings.TrimPrefix(name, "r")
	flag, on := superFlag(name)
	switch {
	case ignored(name):
	case name == "bind":
		o.bind = true
	case name == "rbind":
		o.bind, o.recursive = true, true
	case name == "remount":
		o.remount = true
	case name == "tmpcopyup":
		o.copyUp = true
	case name == "idmap":
		o.idmap = true
	case name == "ridmap":
		o.idmap, o.idmapAll = true, true
	case flag != "":
		o.super = slices.DeleteFunc(o.super, func(s string) bool { return s == flag })
		if on {
			o.super = append(o.super, flag)
		}
	case attributeOf(name) != (attribute{}):
		apply(attributeOf(name), &o.set, &o.clear)
	case propagationOf(name) != 0:
		o.propagation, o.propagationAll = propagationOf(name), false
	case short != name && attributeOf(short) != (attribute{}):
		apply(attributeOf(short), &o.setAll, &o.clearAll)
	case short != name && propagationOf(short) != 0:
		o.propagation, o.propagationAll = propagationOf(short), true
	default:
		key, value, _ := strings.Cut(name, "=")
		o.data = append(o.data, [2]string{key, value})
	}
}

// apply lets the later of two options win.
func apply(a attribute, set, clear *uint64) {
	*set = *set&^a.clear | a.set
	*clear = *clear&^a.set | a.clear
}

// lockable are the attributes that a user namespace may not clear on a mount
// that it got from elsewhere (mount_namespaces(7)).
const lockable = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC

// exact is what a bind mount with options gets: those and no others, as
// mount(2) does it, but for what is locked. A bind without options keeps what
// its source has.
func (o *options) exact(locked uint64) attribute {
	if o.set|o.clear == 0 {
		return attribute{}
	}
	return attribute{set: o.set, clear: o.clear | lockable&^(o.set|locked)}
}

// unlocks is an option among o that would clear what is locked, or "".
func (o *options) unlocks(locked uint64) string {
	for _, name := range []string{"rw", "suid", "dev", "exec"} {
		if bit := attributeOf(name).clear; bit&locked&(o.clear|o.clearAll) != 0 {
			return name
		}
	}
	return ""
}

// has tells whether the file system gets an option called key.
func (o *options) has(key string) bool {
	return slices.ContainsFunc(o.data, func(d [2]string) bool { return d[0] == key })
}

// MountOptions are the options of the specification, all of which are applied;
// others are the file system's own. They are sorted.
func MountOptions() []string {
	list := []string{
		"async", "bind", "defaults", "dirsync", "idmap", "iversion", "lazytime", "loud", "mand", "noiversion", "nolazytime", "nomand",
		"private", "rbind", "remount", "ridmap", "rprivate", "rshared", "rslave", "runbindable", "shared", "silent", "slave", "sync",
		"tmpcopyup", "unbindable",
	}
	for _, name := range []string{
		"atime", "dev", "diratime", "exec", "noatime", "nodev", "nodiratime", "noexec", "norelatime", "nostrictatime", "nosuid",
		"nosymfollow", "relatime", "ro", "rw", "strictatime", "suid", "symfollow",
	} {
		list = append(list, name, "r"+name)
	}
	slices.Sort(list)
	return list
}
