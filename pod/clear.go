package pod

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/runtime"
)

// clearRuntime removes what a pod's containers may have left behind, whoever
// ran them: processes, cgroups, registrations, their writes, the shared memory.
func (s *Store) clearRuntime(ctx context.Context, p place) error {
	var errs []error
	matches, _ := filepath.Glob(filepath.Join(s.root(), "containers", p.name+".*"))
	for _, dir := range matches {
		c, err := s.runtime().Load(filepath.Base(dir))
		if err == nil && c.Bundle() != p.state && c.Bundle() != "" {
			continue // somebody else's container with such a name
		}
		if err == nil {
			err = c.Delete(ctx, true)
		}
		if err != nil && !errors.Is(err, runtime.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	errs = append(errs, p.removeGroup(ctx))
	errs = append(errs, unmount(p.shm()))
	if err := removeAll(ctx, filepath.Join(p.data, "containers")); !errors.Is(err, unix.ENOTDIR) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// clear removes all of a pod's data too.
func (s *Store) clear(ctx context.Context, p place) error {
	if err := s.clearRuntime(ctx, p); err != nil {
		return err
	}
	if err := unmountBelow(p.volumes()); err != nil {
		return err
	}
	if err := removeAll(ctx, p.data); err != nil && !errors.Is(err, unix.ENOTDIR) {
		return fmt.Errorf("remove the pod's data: %w", err)
	}
	return nil
}
