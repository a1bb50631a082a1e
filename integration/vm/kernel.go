package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// kernel is one of Debian's.
type kernel struct {
	name    string
	arch    string // Debian's word, which is Go's
	release string // Debian's, or its backports'
	meta    string // the package that leads to the newest one
}

// kernels are those that there are to boot.
var kernels = []kernel{
	{"debian12", "amd64", "bookworm", "linux-image-cloud-amd64"},
	{"debian11", "amd64", "bullseye", "linux-image-cloud-amd64"},
	{"debian12-backports", "amd64", "bookworm-backports", "linux-image-cloud-amd64"},
	{"debian12-arm64", "arm64", "bookworm", "linux-image-cloud-arm64"},
}

func findKernel(name string) (kernel, error) {
	for _, k := range kernels {
		if k.name == name {
			return k, nil
		}
	}
	return kernel{}, fmt.Errorf("there is no kernel %q", name)
}

// unpacked is a kernel's package.
type unpacked struct {
	image   string // to boot
	modules string // the directory that has them
}

// unpack returns the kernel from the cache, where it is put before if need be.
func (k kernel) unpack(ctx context.Context, c *cache) (*unpacked, error) {
	dir, err := c.entry("kernel-"+k.name, func(dir string) error {
		deb, err := c.download(ctx, k.arch, k.release, k.meta)
		if err != nil {
			return err
		}
		return extract(ctx, deb, dir)
	})
	if err != nil {
		return nil, fmt.Errorf("kernel %s: %w", k.name, err)
	}
	u := new(unpacked)
	for pattern, to := range map[string]*string{"boot/vmlinuz-*": &u.image, "lib/modules/*": &u.modules} {
		found, _ := filepath.Glob(filepath.Join(dir, pattern))
		if len(found) != 1 {
			return nil, fmt.Errorf("kernel %s: %s has %d of %s, not one: remove it, it is made again", k.name, dir, len(found), pattern)
		}
		*to = found[0]
	}
	return u, nil
}

// version of the kernel, as uname says it.
func (u *unpacked) version() string { return filepath.Base(u.modules) }

// busybox returns the path of a static one.
func busybox(ctx context.Context, c *cache, arch string) (string, error) {
	dir, err := c.entry("busybox-"+arch, func(dir string) error {
		deb, err := c.download(ctx, arch, "bookworm", "busybox-static")
		if err != nil {
			return err
		}
		return extract(ctx, deb, dir)
	})
	if err != nil {
		return "", fmt.Errorf("busybox for %s: %w", arch, err)
	}
	path := filepath.Join(dir, "bin/busybox")
	_, err = os.Stat(path)
	return path, err
}
