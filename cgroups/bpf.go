package cgroups

import (
	"github.com/peapod/peapod/internal/bpf"
	"golang.org/x/sys/unix"
)

// attachFilter loads a device filter and attaches it to the group behind dir.
// The group holds it from then on; it goes when the group goes. With
// BPF_F_ALLOW_MULTI the filters of the ancestors, and of systemd, are asked as
// well.
func attachFilter(dir int, code []byte) error {
	program, err := loadFilter(code)
	if err != nil {
		return err
	}
	defer unix.Close(program)
	return attach(dir, program)
}

func loadFilter(code []byte) (int, error) {
	program, err := bpf.Load(unix.BPF_PROG_TYPE_CGROUP_DEVICE, 0, code)
	if err != nil {
		return -1, &step{"load the device filter", err}
	}
	return program, nil
}

func attach(dir, program int) error {
	if err := bpf.Attach(dir, program, unix.BPF_CGROUP_DEVICE, unix.BPF_F_ALLOW_MULTI); err != nil {
		return &step{"attach the device filter", err}
	}
	return nil
}

// replaceFilter puts a device filter in the place of those that peapod attached
// before, at no moment of which the group is without one. Without code it takes
// them off.
func replaceFilter(dir int, code []byte) error {
	old, err := bpf.Attached(dir, unix.BPF_CGROUP_DEVICE)
	if err != nil {
		return &step{"find the device filter", err}
	}
	defer func() {
		for _, fd := range old {
			unix.Close(fd)
		}
	}()
	if code != nil {
		program, err := loadFilter(code)
		if err != nil {
			return err
		}
		defer unix.Close(program)
		if len(old) == 1 {
			if err := bpf.Replace(dir, program, old[0], unix.BPF_CGROUP_DEVICE); err != nil {
				return &step{"replace the device filter", err}
			}
			return nil
		}
		if err := attach(dir, program); err != nil {
			return err
		}
	}
	for _, fd := range old {
		if err := bpf.Detach(dir, fd, unix.BPF_CGROUP_DEVICE); err != nil {
			return &step{"detach the old device filter", err}
		}
	}
	return nil
}
