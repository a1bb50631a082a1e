package runtime

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/program"
	"github.com/peapod/peapod/rootfs"
	"golang.org/x/sys/unix"
)

// advise adds to the error of a step what it most likely comes of.
func advise(err error) error {
	var step *program.Error
	if !errors.As(err, &step) {
		return err
	}
	switch {
	case step.Errno == unix.EINVAL && (step.Op == opUser || step.Op == opGroup):
		return fmt.Errorf("%w: the user namespace maps no such id (see linux.uidMappings and gidMappings)", err)
	case step.Errno == unix.ENODEV && step.Op == "mount":
		return fmt.Errorf("%w: the kernel has no such file system (/proc/filesystems lists those it knows)", err)
	}
	return err
}

// tellIgnoredOptions tells which options of mounts have no effect.
func (r *Runtime) tellIgnoredOptions(mounts []specs.Mount, name string) {
	for i := range mounts {
		if list := rootfs.IgnoredOptions(&mounts[i]); len(list) > 0 {
			r.log().Warn("options are ignored, which a bind mount has no file system for", "id", name, "mount", mounts[i].Destination, "options", strings.Join(list, ","))
		}
	}
}

// noexec are the directories of mounts from which nothing is executed.
func noexec(mounts []specs.Mount) (list []string) {
	for _, m := range mounts {
		if slices.Contains(m.Options, "noexec") {
			list = append(list, m.Destination)
		}
	}
	return list
}

// below tells in which of the directories file is, "" where in none.
func below(file string, dirs []string) string {
	for _, dir := range dirs {
		if strings.HasPrefix(path.Clean(file), path.Clean("/"+dir)+"/") {
			return dir
		}
	}
	return ""
}
