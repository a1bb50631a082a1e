package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/peapod/peapod/integration/vm/wire"
)

// processors are the emulators, and the machines and consoles that they have.
//
// Linux 6.12 on qemu 7.2, which is Debian 12's, goes wrong at its first
// cmpxchg16b: behind it the flags are an address. Without it, it has other ways.
var processors = map[string]struct{ program, machine, cpu, console string }{
	"amd64": {"qemu-system-x86_64", "q35", "max,-cx16", "ttyS0"},
	"arm64": {"qemu-system-aarch64", "virt,gic-version=3", "max", "ttyAMA0"},
}

// start is what starts a machine.
type start struct {
	program string
	args    []string
}

// prepare makes everything that a machine needs.
func (l *lab) prepare(ctx context.Context, m machine, list []suite) (*start, error) {
	k, err := findKernel(m.kernel)
	if err != nil {
		return nil, err
	}
	p := processors[k.arch]
	program, err := need(p.program)
	if err != nil {
		return nil, err
	}
	u, err := k.unpack(ctx, l.cache)
	if err != nil {
		return nil, err
	}
	initramfs, err := l.initramfs(ctx, m, k, u, list)
	if err != nil {
		return nil, err
	}
	disk, err := l.disk(m)
	if err != nil {
		return nil, err
	}
	return &start{program, []string{
		"-machine", p.machine, "-accel", "tcg,thread=multi", "-cpu", p.cpu, "-smp", "2", "-m", fmt.Sprint(memory),
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-serial", "stdio",
		"-device", "virtio-serial-pci", "-device", "virtserialport,chardev=lab,name=" + wire.Port,
		"-device", "virtio-rng-pci",
		"-drive", "if=none,id=scratch,format=raw,cache=unsafe,file=" + disk,
		"-device", "virtio-blk-pci,drive=scratch,serial=" + wire.Disk,
		"-kernel", u.image, "-initrd", initramfs,
		// A kernel that has lost its way stops the machine.
		"-append", "console=" + p.console + " loglevel=5 panic=-1 oops=panic apparmor=0",
	}}, nil
}

// disk makes the one that tests may write to: 64 MiB, of which only what is
// written takes room on the host.
func (l *lab) disk(m machine) (string, error) {
	path := filepath.Join(l.tmp, m.name+".disk")
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	return path, errors.Join(f.Truncate(64<<20), f.Close())
}

// command writes events to w.
func (s *start) command(ctx context.Context, w *os.File) *exec.Cmd {
	args := append([]string{"-chardev", "file,id=lab,path=/proc/self/fd/3"}, s.args...)
	cmd := exec.CommandContext(ctx, s.program, args...)
	cmd.ExtraFiles = []*os.File{w}
	return cmd
}

// interactive gives the machine the terminal, which it has in raw mode.
func (s *start) interactive(ctx context.Context) error {
	fmt.Fprintln(os.Stderr, "vm: Ctrl-A X ends the machine at once")
	args := append([]string{"-chardev", "null,id=lab"}, s.args...)
	for i, a := range args {
		if a == "stdio" {
			args[i] = "mon:stdio"
		}
	}
	cmd := exec.CommandContext(ctx, s.program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}
