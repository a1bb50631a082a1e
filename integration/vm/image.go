package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/peapod/peapod/integration/vm/wire"
)

// imagePackages are what there is beyond Debian's smallest: systemd, and what a
// user's own needs (a session, its bus), and their containers (ranges of ids).
const imagePackages = "systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,udev,procps,iproute2,uidmap"

// image returns the archive of a Debian with systemd, below the directory that
// becomes the root.
func image(ctx context.Context, c *cache, k kernel) (string, error) {
	made := sha256.Sum256([]byte(imagePackages + fmt.Sprint(accounts)))
	name := fmt.Sprintf("systemd-%s-%s-%x", k.release, k.arch, made[:4])
	dir, err := c.entry(name, func(dir string) error { return makeImage(ctx, k, dir) })
	if err != nil {
		return "", fmt.Errorf("image with systemd: %w", err)
	}
	return filepath.Join(dir, "root.cpio"), nil
}

func makeImage(ctx context.Context, k kernel, dir string) error {
	if os.Geteuid() != 0 {
		return errors.New("debootstrap needs root: run this once with sudo -E")
	}
	fmt.Fprintf(os.Stderr, "vm: making an image of %s with systemd\n", k.release)
	root := filepath.Join(dir, "root")
	if _, err := output(ctx, dir, "debootstrap", "--arch="+k.arch, "--variant=minbase", "--include="+imagePackages, k.release, root, mirror); err != nil {
		return err
	}
	defer os.RemoveAll(root)
	if err := setUp(root); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "root.cpio"))
	if err != nil {
		return err
	}
	a := newArchive(f)
	return errors.Join(a.tree(wire.Root, root), a.close(), f.Close())
}

// accounts are the lines of the user who has a systemd of their own.
var accounts = map[string]string{
	"etc/passwd": "lab:x:1000:1000:lab:/home/lab:/bin/bash\n",
	"etc/shadow": "lab:*:19000:0:99999:7:::\n",
	"etc/group":  "lab:x:1000:\n",
	"etc/subuid": "lab:100000:65536\n",
	"etc/subgid": "lab:100000:65536\n",
}

// setUp adds the user, and removes what nobody reads.
func setUp(root string) error {
	for _, dir := range []string{"usr/share/doc", "usr/share/locale", "usr/share/man", "var/cache/apt", "var/lib/apt/lists"} {
		if err := os.RemoveAll(filepath.Join(root, dir)); err != nil {
			return err
		}
	}
	for name, line := range accounts {
		if err := appendTo(filepath.Join(root, name), line); err != nil {
			return err
		}
	}
	home := filepath.Join(root, "home/lab")
	if err := os.MkdirAll(home, 0o755); err != nil {
		return err
	}
	return os.Chown(home, 1000, 1000)
}

func appendTo(path, line string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	return errors.Join(err, f.Close())
}

// service runs the lab in the image. Its cgroup is delegated, as that of a
// daemon which has containers.
const service = `[Unit]
Description=the lab's suites
Wants=user@1000.service dbus.service
After=user@1000.service dbus.service

[Service]
Type=oneshot
ExecStart=` + wire.Guest + `
ExecStopPost=/usr/bin/systemctl --force --force reboot
StandardOutput=journal+console
StandardError=journal+console
TasksMax=infinity
Delegate=yes
`

// addService makes systemd start the lab, and the user's systemd (lingering).
func addService(a *archive) error {
	const unit = "/etc/systemd/system/lab.service"
	return errors.Join(
		a.text(wire.Root+unit, 0o644, service),
		a.link(wire.Root+"/etc/systemd/system/multi-user.target.wants/lab.service", unit),
		a.text(wire.Root+"/var/lib/systemd/linger/lab", 0o644, ""),
		a.text(wire.Root+"/etc/hostname", 0o644, "lab\n"),
		a.text(wire.Root+"/etc/fstab", 0o644, ""),
	)
}
