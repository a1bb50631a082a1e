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

var attributes = map[string]attribute{
	"ro":            {set: unix.MOUNT_ATTR_RDONLY},
	"rw":            {clear: unix.MOUNT_ATTR_RDONLY},
	"nosuid":        {set: unix.MOUNT_ATTR_NOSUID},
	"suid":          {clear: unix.MOUNT_ATTR_NOSUID},
	"nodev":         {set: unix.MOUNT_ATTR_NODEV},
	"dev":           {clear: unix.MOUNT_ATTR_NODEV},
	"noexec":        {set: unix.MOUNT_ATTR_NOEXEC},
	"exec":          {clear: unix.MOUNT_ATTR_NOEXEC},
	"nodiratime":    {set: unix.MOUNT_ATTR_NODIRATIME},
	"diratime":      {clear: unix.MOUNT_ATTR_NODIRATIME},
	"noatime":       {set: unix.MOUNT_ATTR_NOATIME, clear: unix.MOUNT_ATTR__ATIME},
	"atime":         {set: unix.MOUNT_ATTR_RELATIME, clear: unix.MOUNT_ATTR__ATIME},
	"relatime":      {set: unix.MOUNT_ATTR_RELATIME, clear: unix.MOUNT_ATTR__ATIME},
	"norelatime":    {set: unix.MOUNT_ATTR_STRICTATIME, clear: unix.MOUNT_ATTR__ATIME},
	"strictatime":   {set: unix.MOUNT_ATTR_STRICTATIME, clear: unix.MOUNT_ATTR__ATIME},
	"nostrictatime": {set: unix.MOUNT_ATTR_RELATIME, clear: unix.MOUNT_ATTR__ATIME},
	"nosymfollow":   {set: unix.MOUNT_ATTR_NOSYMFOLLOW},
	"symfollow":     {clear: unix.MOUNT_ATTR_NOSYMFOLLOW},
}

var propagations = map[string]uint64{
	"private":    unix.MS_PRIVATE,
	"shared":     unix.MS_SHARED,
	"slave":      unix.MS_SLAVE,
	"unbindable": unix.MS_UNBINDABLE,
}

// ignored are options of mount(2) that have no effect on a new mount here:
// defaults, and what the kernel dropped or never looks at.
var ignored = map[string]bool{
	"defaults": true, "async": true, "loud": true, "silent": true,
	"mand": true, "nomand": true, "noiversion": true, "nolazytime": true,
}

// refused are options that are known but not applied.
var refused = map[string]string{
	"idmap":     "id-mapped mounts are not supported yet",
	"ridmap":    "id-mapped mounts are not supported yet",
	"tmpcopyup": "copying into a tmpfs is not supported yet",
	"remount":   "a container's mounts are new: give their options at once",
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
	if why, ok := refused[name]; ok {
		return fmt.Errorf("option %q: %s", name, why)
	}
	short := strings.TrimPrefix(name, "r")
	switch {
	case ignored[name]:
	case name == "bind":
		o.bind = true
	case name == "rbind":
		o.bind, o.recursive = true, true
	case attributes[name] != attribute{}:
		apply(attributes[name], &o.set, &o.clear)
	case propagations[name] != 0:
		o.propagation, o.propagationAll = propagations[name], false
	case short != name && attributes[short] != attribute{}:
		apply(attributes[short], &o.setAll, &o.clearAll)
	case short != name && propagations[short] != 0:
		o.propagation, o.propagationAll = propagations[short], true
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
