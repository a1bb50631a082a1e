package main

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/integration/vm/wire"
)

// boot loads the modules and makes a directory of the initramfs the root. It is
// bound to itself first: pivot_root(2) works in no other root, and the
// containers do that.
func boot() error {
	if err := loadModules(); err != nil {
		return err
	}
	if err := unix.Mount(wire.Root, wire.Root, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s to itself: %w", wire.Root, err)
	}
	if err := unix.Chdir(wire.Root); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move %s to /: %w", wire.Root, err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("change the root to %s: %w", wire.Root, err)
	}
	return unix.Chdir("/")
}

func loadModules() error {
	files, err := filepath.Glob(wire.Modules + "/*")
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := loadModule(file); err != nil {
			return fmt.Errorf("load the kernel module %s: %w", filepath.Base(file), err)
		}
	}
	return nil
}

func loadModule(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.FinitModule(int(f.Fd()), "", 0)
}

// mounts are what a host has mounted, in order.
var mounts = []struct {
	kind, at, data string
	flags          uintptr
}{
	{"proc", "/proc", "", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	{"sysfs", "/sys", "", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	{"devtmpfs", "/dev", "mode=755", unix.MS_NOSUID},
	{"devpts", "/dev/pts", "gid=5,mode=620,ptmxmode=666", unix.MS_NOSUID | unix.MS_NOEXEC},
	{"tmpfs", "/dev/shm", "mode=1777", unix.MS_NOSUID | unix.MS_NODEV},
	{"mqueue", "/dev/mqueue", "", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	{"bpf", "/sys/fs/bpf", "mode=700", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	{"tmpfs", "/run", "mode=755", unix.MS_NOSUID | unix.MS_NODEV},
	{"tmpfs", "/tmp", "mode=1777", unix.MS_NOSUID},
}

func mountAll(cgroups string) error {
	for _, m := range mounts {
		if err := mount(m.kind, m.at, m.data, m.flags); err != nil {
			return err
		}
	}
	for name, to := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(to, "/dev/"+name); err != nil {
			return err
		}
	}
	if cgroups == "v1" {
		return mountV1()
	}
	return mount("cgroup2", "/sys/fs/cgroup", "nsdelegate", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC)
}

func mount(kind, at, data string, flags uintptr) error {
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(kind, at, kind, flags, data); err != nil {
		return fmt.Errorf("mount %s at %s: %w", kind, at, err)
	}
	return nil
}

// installBusybox makes its many names.
func installBusybox() error {
	const path = "/bin/busybox"
	process, err := os.StartProcess(path, []string{path, "--install", "-s", "/bin"}, &os.ProcAttr{Files: []*os.File{nil, os.Stdout, os.Stderr}})
	if err != nil {
		return err
	}
	if status := wait(process.Pid); status != 0 {
		return fmt.Errorf("%s --install ended with status %d", path, status)
	}
	return nil
}
