package main

import (
	"context"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"

	"github.com/peapod/peapod/integration/vm/wire"
)

// criuPrograms are criu and the one that it calls for files in memory.
var criuPrograms = []string{"usr/sbin/criu", "bin/tar"}

// addCRIU adds criu of the kernel's release, and the libraries that it wants:
// those of small roots, which have none.
func (l *lab) addCRIU(ctx context.Context, a *archive, k kernel) error {
	root, err := l.cache.entry("criu-"+k.arch, func(dir string) error { return l.cache.downloadCRIU(ctx, k, dir) })
	if err != nil {
		return fmt.Errorf("criu for %s: %w", k.arch, err)
	}
	seen := map[string]bool{}
	for _, name := range criuPrograms {
		path := filepath.Join(root, name)
		if err := addLibraries(a, root, path, seen); err != nil {
			return err
		}
		// Not where busybox has links of these names.
		if err := a.file(wire.Root+"/usr/local/sbin/"+filepath.Base(name), path); err != nil {
			return err
		}
	}
	return nil
}

// downloadCRIU unpacks the packages, with all that they depend on.
func (c *cache) downloadCRIU(ctx context.Context, k kernel, dir string) error {
	apt, err := c.apt(k.arch, k.release)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "vm: downloading criu for %s\n", k.arch)
	if _, err := apt.run(ctx, "apt-get", "update", "-qq"); err != nil {
		return err
	}
	if _, err := apt.run(ctx, "apt-get", "install", "-y", "-qq", "--no-install-recommends", "--download-only", "criu", "tar"); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(apt.dir, "archives/*.deb"))
	if err != nil {
		return err
	}
	for _, deb := range debs {
		if err := extract(ctx, deb, dir); err != nil {
			return err
		}
	}
	return nil
}

// addLibraries adds the loader and the libraries that a program wants to where
// loaders look for them.
func addLibraries(a *archive, root, program string, seen map[string]bool) error {
	names, err := imports(program)
	if err != nil {
		return err
	}
	for _, name := range names {
		base := filepath.Base(name)
		if seen[base] {
			continue
		}
		seen[base] = true
		path, err := findLibrary(root, base)
		if err != nil {
			return fmt.Errorf("%s: %w", program, err)
		}
		to := name // the loader is known by its path
		if to == base {
			to = "/usr/lib/" + base
		}
		if err := a.file(wire.Root+to, path); err != nil {
			return err
		}
		if err := addLibraries(a, root, path, seen); err != nil {
			return err
		}
	}
	return nil
}

// imports are the libraries that a program names, and its loader's path.
func imports(program string) ([]string, error) {
	f, err := elf.Open(program)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.ImportedLibraries()
	if err != nil {
		return nil, err
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		name := make([]byte, p.Filesz-1) // without its NUL
		if _, err := p.ReadAt(name, 0); err != nil {
			return nil, err
		}
		names = append([]string{string(name)}, names...)
	}
	return names, nil
}

// findLibrary returns the file of a library of the packages.
func findLibrary(root, name string) (string, error) {
	for _, dir := range []string{"lib/*", "usr/lib/*"} {
		found, err := filepath.Glob(filepath.Join(root, dir, name))
		if err != nil {
			return "", err
		}
		if len(found) > 0 {
			return filepath.EvalSymlinks(found[0])
		}
	}
	return "", fmt.Errorf("the packages have no library %s", name)
}
