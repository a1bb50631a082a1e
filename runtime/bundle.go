package runtime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/strict"
)

// LoadSpec reads the configuration of the bundle dir (runtime-spec, "Bundle").
// Errors name file, line, column and field. Fields that the specification does
// not know are ignored, as it demands ("Extensibility").
func LoadSpec(dir string) (*specs.Spec, error) { return LoadSpecNoting(dir, nil) }

// LoadSpecNoting is LoadSpec, and calls note, unless it is nil, with what is probably
// a mistake and no error: the specification has unknown fields ignored, but one that
// is called as a known one but for a letter or two was hardly meant to be.
func LoadSpecNoting(dir string, note func(error)) (*specs.Spec, error) {
	path := filepath.Join(dir, "config.json")
	data, err := os.ReadFile(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%w: a bundle is a directory with a config.json and a root", err)
		}
		return nil, err
	}
	spec := &specs.Spec{}
	var misspelt func(*strict.Error)
	if note != nil {
		misspelt = func(e *strict.Error) { note(e) }
	}
	if err := strict.DecodeNoting(path, data, spec, misspelt); err != nil {
		return nil, err
	}
	return spec, nil
}

// LoadProcess reads a process to execute, as `exec --process` takes it.
func LoadProcess(path string) (*specs.Process, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	process := &specs.Process{}
	if err := strict.DecodeExtensible(path, data, process); err != nil {
		return nil, err
	}
	return process, nil
}

// LoadResources reads limits (runtime-spec, "config-linux", resources) from a
// JSON file, as Update takes them.
func LoadResources(path string) (*specs.LinuxResources, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := &specs.LinuxResources{}
	if err := strict.DecodeExtensible(path, data, r); err != nil {
		return nil, err
	}
	return r, nil
}
