package cgroups

import (
	"fmt"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// network: v2 has neither controller; nftables and BPF know a socket's group
// there.
func network(r *specs.LinuxResources, at controllers) ([]setting, error) {
	n := r.Network
	if n == nil {
		return nil, nil
	}
	var list []setting
	if id := n.ClassID; id != nil {
		if err := onlyOne(at, "net_cls", "network.classID"); err != nil {
			return nil, err
		}
		list = append(list, setting{controller: "net_cls", version: one, file: "net_cls.classid", value: strconv.FormatUint(uint64(*id), 10)})
	}
	for _, p := range n.Priorities {
		if err := onlyOne(at, "net_prio", "network.priorities"); err != nil {
			return nil, err
		}
		if p.Name == "" || strings.ContainsAny(p.Name, " \t\n/") {
			return nil, fmt.Errorf("%w network.priorities: name %q is no network interface's", ErrInvalid, p.Name)
		}
		list = append(list, setting{controller: "net_prio", version: one, file: "net_prio.ifpriomap", value: fmt.Sprintf("%s %d", p.Name, p.Priority)})
	}
	return list, nil
}

// onlyOne wants a controller that v2 does not have.
func onlyOne(at controllers, controller, resource string) error {
	v, err := at(controller)
	if err != nil || v == one {
		return err
	}
	return fmt.Errorf("%s asked for, but the %s %w: cgroup v2 has none (nftables' \"socket cgroupv2\" tells groups there); mount it on v1 (mount -t cgroup -o %s cgroup %s/%s), or leave it out",
		resource, controller, ErrNoController, controller, mountPoint, controller)
}
