package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// baseSpec is what `runc spec` writes, or crun's where there is no runc.
func (c *contenders) baseSpec(ctx context.Context) (json.RawMessage, error) {
	writer := c.Runc
	if writer == "" {
		writer = c.Crun
	}
	if writer == "" {
		return nil, errors.New("neither runc nor crun is there: nothing to compare with, and nothing that writes a spec")
	}
	dir := filepath.Join(c.Tmp, "spec")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	if _, err := output(ctx, dir, writer, "spec"); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, "config.json"))
}

// bundleSpec is the base spec for a container that runs args, in the cgroup
// at that path below the hierarchies.
func (c *contenders) bundleSpec(cgroup string, args ...string) (*specs.Spec, error) {
	s := new(specs.Spec)
	if err := json.Unmarshal(c.Spec, s); err != nil {
		return nil, err
	}
	s.Version = "1.0.2" // crun 1.8 knows no later one
	s.Process.Terminal = false
	s.Process.Args = args
	s.Root.Path = filepath.Join(c.Tmp, "rootfs")
	s.Linux.CgroupsPath = cgroup
	// crun 1.8 fails on resources where CAP_SYS_RESOURCE is missing.
	s.Linux.Resources = nil
	// runc spec leaves the cgroup namespace out where there is cgroup v1.
	for _, ns := range s.Linux.Namespaces {
		if ns.Type == specs.CgroupNamespace {
			return s, nil
		}
	}
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	return s, nil
}

// writeBundle makes the directory of a bundle with spec in it.
func writeBundle(dir string, spec *specs.Spec) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	b, err := json.MarshalIndent(spec, "", "\t")
	if err != nil {
		return fmt.Errorf("spec of %s: %w", dir, err)
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), b, 0o644)
}
