package rootfs

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// options are a mount's options, sorted by what applies them.
type options struct {
	bind      bool
	recursive bool // rbind

	set, clear       uint64 // MOUNT_ATTR_* of the mount itself
	setAll, clearAll uint64 // of the mount and those below it: rro, rnosuid, …
	propagation      uint64 // MS_PRIVATE, …; 0 where none was asked for
	propagationAll   bool
	data             [][2]string // of the file system; a value "" is a flag
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
	case "defaults", "async", "loud", "silent", "mand", "nomand", "noiversion", "nolazytime":
		return true
	}
	return false
}

// refusal says why an option that is known is not applied; "" where it is.
func refusal(name string) string {
	switch name {
	case "idmap", "ridmap":
		return "id-mapped mounts are not supported yet"
	case "tmpcopyup":
		return "copying into a tmpfs is not supported yet"
	case "remount":
		return "a container's mounts are new: give their options at once"
	}
	return ""
}

// parseOptions sorts the options of a mount (runtime-spec, "Mounts"). Those
// which no table knows are the file system's own.
func parseOptions(list []string) (options, error) {
	var o options
	for _, name := range list {
		if err := o.add(name); err != nil {
			return o, err
		}
	}
	return o, nil
}

func (o *options) add(name string) error {
	if why := refusal(name); why != "" {
		return fmt.Errorf("option %q: %s", name, why)
	}
	short := strings.TrimPrefix(name, "r")
	switch {
	case ignored(name):
	case name == "bind":
		o.bind = true
	case name == "rbind":
		o.bind, o.recursive = true, true
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
	return nil
}

// apply lets the later of two options win.
func apply(a attribute, set, clear *uint64) {
	*set = *set&^a.clear | a.set
	*clear = *clear&^a.set | a.clear
}

// exact is what a bind mount with options gets: those and no others, as
// mount(2) does it. A bind without options keeps what its source has.
func (o *options) exact() attribute {
	if o.set|o.clear == 0 {
		return attribute{}
	}
	const all = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
	return attribute{set: o.set, clear: o.clear | all&^o.set}
}
