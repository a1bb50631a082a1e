package rootfs

import (
	"fmt"
	"os"
	"path"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/program"
	"golang.org/x/sys/unix"
)

// defaultDevices are those that every container has (runtime-spec, "Default
// Devices").
var defaultDevices = []specs.LinuxDevice{
	{Path: "/dev/null", Type: "c", Major: 1, Minor: 3},
	{Path: "/dev/zero", Type: "c", Major: 1, Minor: 5},
	{Path: "/dev/full", Type: "c", Major: 1, Minor: 7},
	{Path: "/dev/random", Type: "c", Major: 1, Minor: 8},
	{Path: "/dev/urandom", Type: "c", Major: 1, Minor: 9},
	{Path: "/dev/tty", Type: "c", Major: 5, Minor: 0},
}

// links are made in /dev (runtime-spec, "Dev symbolic links", and ptmx).
var links = [][2]string{
	{"fd", "/proc/self/fd"},
	{"stdin", "/proc/self/fd/0"},
	{"stdout", "/proc/self/fd/1"},
	{"stderr", "/proc/self/fd/2"},
	{"ptmx", "pts/ptmx"},
}

// devices are the default ones and the spec's, which win.
func (c *Config) devices() []specs.LinuxDevice {
	list := make([]specs.LinuxDevice, 0, len(defaultDevices)+len(c.Spec.Linux.Devices))
	own := map[string]bool{}
	for _, d := range c.Spec.Linux.Devices {
		d.Path = clean(d.Path)
		own[d.Path] = true
		list = append(list, d)
	}
	for _, d := range defaultDevices {
		if !own[d.Path] {
			list = append(list, d)
		}
	}
	return list
}

// fillDev makes the devices and links. device gives one of the host, opened.
func (b *builder) fillDev(device func(path string) program.Value) error {
	p := b.p
	dirs := map[string]program.Value{}
	dir := func(name string) program.Value {
		if _, ok := dirs[name]; !ok {
			dirs[name] = b.dir(name)
		}
		return dirs[name]
	}
	dev := dir("/dev")
	for _, d := range b.c.devices() {
		mode, err := deviceMode(&d)
		if err != nil {
			return err
		}
		if b.c.UserNamespace {
			b.attach(device(d.Path), b.target(d.Path, false), d.Path)
			continue
		}
		parent, name := dir(path.Dir(d.Path)), p.Str(path.Base(d.Path))
		p.Call(unix.SYS_MKNODAT, parent, name, program.Octal(mode), program.Int(unix.Mkdev(uint32(d.Major), uint32(d.Minor)))).
			Tolerate(unix.EEXIST).For("make device", d.Path)
		if d.UID != nil || d.GID != nil {
			p.Call(unix.SYS_FCHOWNAT, parent, name, id(d.UID), id(d.GID),
				program.Sym(unix.AT_SYMLINK_NOFOLLOW, "AT_SYMLINK_NOFOLLOW")).For("change the owner of", d.Path)
		}
	}
	for _, l := range links {
		p.Call(unix.SYS_SYMLINKAT, p.Str(l[1]), dev, p.Str(l[0])).
			Tolerate(unix.EEXIST).For("make link", "/dev/"+l[0])
	}
	return nil
}

func id(n *uint32) program.Value {
	if n == nil {
		return program.Int(0)
	}
	return program.Int(*n)
}

// deviceMode is the device's type and permissions as mknod(2) takes them.
func deviceMode(d *specs.LinuxDevice) (uint32, error) {
	mode := uint32(0o666)
	if d.FileMode != nil {
		mode = uint32(*d.FileMode & os.ModePerm)
	}
	switch d.Type {
	case "c", "u":
		return mode | unix.S_IFCHR, nil
	case "b":
		return mode | unix.S_IFBLK, nil
	case "p":
		return mode | unix.S_IFIFO, nil
	}
	return 0, fmt.Errorf("linux.devices: %s: type %q: give c, b, u or p", d.Path, d.Type)
}

// terminal makes a pseudo-terminal of the container's own devpts and binds its
// slave to /dev/console.
func (b *builder) terminal() (master, slave program.Value) {
	p := b.p
	ptmx, tty, tree := p.Var("ptmx"), p.Var("tty"), p.Var("tree")
	b.open("/dev/pts/ptmx", unix.O_RDWR|unix.O_NOCTTY, ptmx)
	unlock := p.Bytes(make([]byte, 8), "&0")
	p.Call(unix.SYS_IOCTL, ptmx.Value(), program.Sym(unix.TIOCSPTLCK, "TIOCSPTLCK"), unlock).For("unlock", "the terminal")
	// Linux 4.13: opens the other end without a path.
	p.Call(unix.SYS_IOCTL, ptmx.Value(), program.Sym(unix.TIOCGPTPEER, "TIOCGPTPEER"),
		flags(unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, openFlags)).Into(tty).For("open", "the terminal")
	target := b.target("/dev/console", false)
	p.Call(unix.SYS_OPEN_TREE, tty.Value(), b.empty,
		program.Sym(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH, "OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_EMPTY_PATH")).
		Into(tree).For("clone", "the terminal")
	b.attach(tree.Value(), target, "the terminal on /dev/console")
	return ptmx.Value(), tty.Value()
}
