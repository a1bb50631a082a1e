package cgroups

import (
	"github.com/peapod/peapod/internal/bpf"
	"golang.org/x/sys/unix"
)

// attachFilter loads a device filter and attaches it to the group behind dir.
// The group holds it from then on; it goes when the group goes. With
// BPF_F_ALLOW_MULTI the filters of the ancestors are asked as well.
func attachFilter(dir int, code []byte) error {
	program, err := bpf.Load(unix.BPF_PROG_TYPE_CGROUP_DEVICE, 0, code)
	if err != nil {
		return &step{"load the device filter", err}
	}
	defer unix.Close(program)
	if err := bpf.Attach(dir, program, unix.BPF_CGROUP_DEVICE, unix.BPF_F_ALLOW_MULTI); err != nil {
		return &step{"attach the device filter", err}
	}
	return nil
}
