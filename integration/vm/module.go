package main

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// moduleFiles are the modules that a kernel's package has, by name.
type moduleFiles map[string]string

// listModules looks for them. Their names have "_" where files have "-" or "_".
func listModules(dir string) (moduleFiles, error) {
	m := moduleFiles{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if name, _, ok := strings.Cut(filepath.Base(path), ".ko"); err == nil && ok && d.Type().IsRegular() {
			m[moduleName(name)] = path
		}
		return err
	})
	return m, err
}

func moduleName(s string) string { return strings.ReplaceAll(s, "-", "_") }

// module is one to load.
type module struct {
	name string
	data []byte
}

// closure reads the modules, and those that they depend on, in an order to load
// them. What is built into the kernel is not among them: names that the package
// does not have have to be in builtin.
func (m moduleFiles) closure(ctx context.Context, builtin []string, names ...string) (list []module, err error) {
	seen := map[string]bool{}
	var add func(name string) error
	add = func(name string) error {
		if seen[name] || slices.Contains(builtin, name) {
			return nil
		}
		seen[name] = true
		path, ok := m[name]
		if !ok {
			return fmt.Errorf("the kernel has no module %s", name)
		}
		data, err := readModule(ctx, path)
		if err != nil {
			return err
		}
		needed, err := depends(data)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, n := range needed {
			if err := add(moduleName(n)); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		list = append(list, module{name, data})
		return nil
	}
	for _, name := range names {
		if err := add(moduleName(name)); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// readModule reads one, which later kernels have compressed.
func readModule(ctx context.Context, path string) ([]byte, error) {
	if strings.HasSuffix(path, ".xz") {
		text, err := output(ctx, "/", "xz", "-dc", path)
		return []byte(text), err
	}
	return os.ReadFile(path)
}

// depends reads what a module says that it needs.
func depends(data []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("no section .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for field := range bytes.SplitSeq(info, []byte{0}) {
		if value, ok := bytes.CutPrefix(field, []byte("depends=")); ok {
			return strings.FieldsFunc(string(value), func(r rune) bool { return r == ',' }), nil
		}
	}
	return nil, nil
}

// readBuiltin reads the names of what would be a module elsewhere.
func readBuiltin(dir string) (names []string, err error) {
	data, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	if err != nil {
		return nil, err
	}
	for line := range strings.FieldsSeq(string(data)) {
		names = append(names, moduleName(strings.TrimSuffix(filepath.Base(line), ".ko")))
	}
	return names, nil
}
