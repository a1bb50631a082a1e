package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/peapod/peapod/integration/vm/wire"
	"github.com/peapod/peapod/internal/testkit"
)

// initramfs writes what a machine starts from: the lab's own program, modules,
// and the directory that becomes the root.
func (l *lab) initramfs(ctx context.Context, m machine, k kernel, u *unpacked, list []suite) (path string, err error) {
	f, err := os.Create(filepath.Join(l.tmp, m.name+".cpio"))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if m.systemd {
		if err := l.copyImage(ctx, f, k); err != nil {
			return "", err
		}
	}
	a := newArchive(f)
	for _, part := range []func() error{
		func() error { return l.addModules(ctx, a, m, u) },
		func() error { return l.addPrograms(ctx, a, k, list) },
		func() error { return addSource(a, l.root) },
		func() error { return l.addPlan(a, m, list) },
		func() error {
			if m.systemd {
				return addService(a)
			}
			return l.addSmallRoot(ctx, a, k)
		},
		func() error {
			if !m.criu {
				return nil
			}
			return l.addCRIU(ctx, a, k)
		},
	} {
		if err := part(); err != nil {
			return "", err
		}
	}
	return f.Name(), a.close()
}

func (l *lab) addModules(ctx context.Context, a *archive, m machine, u *unpacked) error {
	wanted := modules
	if m.criu {
		wanted = append(wanted[:len(wanted):len(wanted)], criuModules...)
	}
	files, err := listModules(u.modules)
	if err != nil {
		return err
	}
	builtin, err := readBuiltin(u.modules)
	if err != nil {
		return err
	}
	list, err := files.closure(ctx, builtin, wanted...)
	if err != nil {
		return fmt.Errorf("modules of %s: %w", u.version(), err)
	}
	for i, m := range list {
		if err := a.text(fmt.Sprintf("%s/%03d-%s", wire.Modules, i, m.name), 0o644, string(m.data)); err != nil {
			return err
		}
	}
	return nil
}

// addPrograms adds all that is compiled of this module.
func (l *lab) addPrograms(ctx context.Context, a *archive, k kernel, list []suite) error {
	guest, err := l.built.guest(ctx, k.arch)
	if err != nil {
		return err
	}
	files := map[string]string{"/init": guest, wire.Root + wire.Guest: guest}
	for _, s := range list {
		test, err := l.built.test(ctx, k.arch, s)
		if err != nil {
			return err
		}
		files[wire.Root+wire.Tests+"/"+s.file()] = test
	}
	for _, p := range testkit.Programs {
		path, err := l.built.program(ctx, k.arch, p)
		if err != nil {
			return err
		}
		files[wire.Root+wire.Programs+"/"+p.Name] = path
	}
	for name, path := range files {
		if err := a.file(name, path); err != nil {
			return err
		}
	}
	return a.link(wire.Root+"/usr/bin/peapod", wire.Programs+"/peapod")
}

// addSource adds what tests read of the module, such as testdata and examples;
// not the images of the examples, which are hundreds of megabytes.
func addSource(a *archive, root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if leftOut(root, path) {
				return fs.SkipDir
			}
			return a.dir(filepath.Join(wire.Root, wire.Source, rel))
		}
		if !d.Type().IsRegular() || strings.HasSuffix(rel, ".test") || strings.HasPrefix(d.Name(), ".") {
			return nil
		}
		return a.file(filepath.Join(wire.Root, wire.Source, rel), path)
	})
}

// leftOut says which directories have nothing of the module.
func leftOut(root, path string) bool {
	switch rel, _ := filepath.Rel(root, path); rel {
	case ".":
		return false
	case "bin", "examples/redis/debian", "examples/shop/images":
		return true
	}
	return strings.HasPrefix(filepath.Base(path), ".")
}

func (l *lab) addPlan(a *archive, m machine, list []suite) error {
	p := wire.Plan{Cgroups: m.cgroups, Shell: l.options.shell}
	if m.systemd {
		p.Init = "/sbin/init"
	}
	for _, s := range list {
		args := []string{wire.Tests + "/" + s.file(), "-test.v", "-test.timeout=" + l.timeout.String()}
		if s.run != "" {
			args = append(args, "-test.run="+s.run)
		}
		if s.skip != "" {
			args = append(args, "-test.skip="+s.skip)
		}
		suite := wire.Suite{Name: s.name(), User: s.user, Dir: wire.Source + "/" + s.pkg, Args: args}
		if s.env != "" {
			suite.Env = []string{s.env}
		}
		p.Suites = append(p.Suites, suite)
	}
	data, err := json.MarshalIndent(p, "", "\t")
	if err != nil {
		return err
	}
	return a.text(wire.Root+wire.PlanFile, 0o644, string(data))
}

// addSmallRoot adds a root of nothing but busybox.
func (l *lab) addSmallRoot(ctx context.Context, a *archive, k kernel) error {
	path, err := busybox(ctx, l.cache, k.arch)
	if err != nil {
		return err
	}
	for _, dir := range []string{"proc", "sys", "dev", "run", "tmp", "var/lib", "var/tmp", "root", "home/lab"} {
		if err := a.dir(wire.Root + "/" + dir); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{
		"passwd":      "root:x:0:0:root:/root:/bin/sh\nlab:x:1000:1000:lab:/home/lab:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
		"group":       "root:x:0:\ntty:x:5:\nlab:x:1000:\nnogroup:x:65534:\n",
		"hosts":       "127.0.0.1 localhost lab\n::1 localhost\n",
		"hostname":    "lab\n",
		"resolv.conf": "",
	} {
		if err := a.text(wire.Root+"/etc/"+name, 0o644, text); err != nil {
			return err
		}
	}
	return a.file(wire.Root+"/bin/busybox", path)
}

// copyImage begins the initramfs with the cached archive of an image.
func (l *lab) copyImage(ctx context.Context, w io.Writer, k kernel) error {
	path, err := image(ctx, l.cache, k)
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}
