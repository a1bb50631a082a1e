package runtime

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/rootfs"
)

// hostMounts are the mounts of a running container that are the host's, by the
// names by which they are known in the images: the target, and "/dev/null" for
// masked files. criu does not save them; who restores says what they are.
//
// What the table of mounts has counts, for links may have led a mount elsewhere
// than its destination says. But what the configuration has not, restore would
// not know: that is refused.
func (c *Container) hostMounts() ([]*rpc.ExtMountMap, error) {
	own, err := readMounts(strconv.Itoa(c.process.PID))
	if err != nil {
		return nil, fmt.Errorf("its mounts: %w", err)
	}
	host, err := readMounts("self")
	if err != nil {
		return nil, err
	}
	known := c.targets()
	var list []*rpc.ExtMountMap
	for _, m := range own {
		external := c.external(&m, host)
		switch {
		case m.target == "/" && m.kind == "overlay" && m.source == overlaySource:
			return nil, fmt.Errorf("its writes are in an overlay that its maker removes, as those of a pod's container are: restore could not find them")
		case m.idmap:
			return nil, fmt.Errorf("mount %s: its ids are mapped, which criu does not save", m.target)
		case m.target == "/" || !external:
		case slices.Contains(known, m.target):
			list = append(list, &rpc.ExtMountMap{Key: ptr(m.target), Val: ptr(m.target)})
		case masks(&m):
			list = append(list, &rpc.ExtMountMap{Key: ptr(m.target), Val: ptr(os.DevNull)})
		case m.kind == "devtmpfs" && path.Base(m.target) == path.Base(m.root): // a device of its own user namespace
			list = append(list, &rpc.ExtMountMap{Key: ptr(m.target), Val: ptr(m.target)})
		default:
			return nil, fmt.Errorf("mount %s: is the host's (%s of %s) and is not in config.json, so that restore would not know what to mount: "+
				"unmount it, or create the container with it", m.target, m.root, m.kind)
		}
	}
	return list, nil
}

// overlaySource is what the mount table says of rootfs.Overlay's.
const overlaySource = "peapod"

// targets are where the mounts of its configuration are.
func (c *Container) targets() (list []string) {
	for _, target := range c.record.Mounts {
		list = append(list, path.Join("/", target))
		if to, err := rootfs.Follow(c.record.Rootfs, target); err == nil {
			list = append(list, to)
		}
	}
	return append(list, notifyTarget)
}

// external tells whether a mount of the container is the host's: of a file system
// that is mounted there. There is one file system of these kinds for a namespace:
// where that is the host's, criu mounts it anew all the same.
func (c *Container) external(m *mountLine, host []mountLine) bool {
	if !slices.ContainsFunc(host, func(h mountLine) bool { return h.device == m.device }) {
		return false
	}
	switch m.kind {
	case "proc":
		return c.has(specs.PIDNamespace)
	case "sysfs":
		return c.has(specs.NetworkNamespace)
	case "mqueue":
		return c.has(specs.IPCNamespace)
	case "cgroup", "cgroup2":
		return !c.has(specs.CgroupNamespace) // binds of the host's
	}
	return true
}

// has tells whether the container has a namespace that is not the host's.
func (c *Container) has(kind specs.LinuxNamespaceType) bool {
	return slices.ContainsFunc(c.record.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == kind })
}
