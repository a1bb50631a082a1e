package pod

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/peapod/peapod/internal/inroot"
	"golang.org/x/sys/unix"
)

// makeVolumes makes the pod's emptyDirs, and those host paths that are to be
// made, and returns where each volume is.
func (s *Supervisor) makeVolumes() (map[string]string, error) {
	paths := map[string]string{}
	for i, v := range s.pod.Spec.Volumes {
		var err error
		switch {
		case v.HostPath != nil:
			if paths[v.Name], err = s.pod.HostPath(v.HostPath); err == nil {
				err = makeHostPath(paths[v.Name], v.HostPath.Type)
			}
		case v.EmptyDir != nil:
			paths[v.Name] = filepath.Join(s.place.volumes(), v.Name)
			err = s.makeEmptyDir(paths[v.Name], v.EmptyDir)
		}
		if err != nil {
			return nil, s.pod.Errorf(fmt.Sprintf("spec.volumes[%d]", i), "volume %s: %w", v.Name, err)
		}
	}
	return paths, nil
}

func makeHostPath(path string, kind HostPathType) error {
	switch kind {
	case HostPathDirectoryOrCreate:
		return os.MkdirAll(path, 0o755)
	case HostPathFileOrCreate:
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		return f.Close()
	}
	return nil
}

// makeEmptyDir makes a directory that every user may write to, as Kubernetes
// does, or a tmpfs.
func (s *Supervisor) makeEmptyDir(path string, e *EmptyDir) error {
	if err := os.MkdirAll(path, 0o777); err != nil {
		return err
	}
	if e.Medium == MediumMemory && !mountedOn(path) {
		options := "mode=0777"
		if !e.SizeLimit.IsZero() {
			options += ",size=" + strconv.FormatInt(e.SizeLimit.Value(), 10)
		}
		if c := s.pod.Spec.SecurityContext; s.ids != nil && c != nil && c.FSGroup != nil {
			options = fmt.Sprintf("%s,mode=2777,gid=%d", options, *c.FSGroup)
		}
		if err := s.mountTmpfs(path, options, unix.MS_NOSUID|unix.MS_NODEV); err != nil {
			return err
		}
	}
	if s.ids != nil && e.Medium == MediumMemory {
		return nil // it is not here
	}
	if c := s.pod.Spec.SecurityContext; c != nil && c.FSGroup != nil {
		return s.giveGroup(path, int(*c.FSGroup))
	}
	return os.Chmod(path, 0o777) // whatever the umask is
}

// mountedOn tells whether something is: what is kept of an earlier run.
func mountedOn(path string) bool {
	var dir, above unix.Stat_t
	err := errors.Join(unix.Stat(path, &dir), unix.Stat(filepath.Dir(path), &above))
	return err == nil && dir.Dev != above.Dev
}

func mountTmpfs(path, options string, flags uintptr) error {
	if err := unix.Mount("tmpfs", path, "tmpfs", flags, options); err != nil {
		return fmt.Errorf("mount a tmpfs on %s: %w", path, err)
	}
	return nil
}

// unmountBelow unmounts what makeVolumes mounted in dir, and dir's tmpfs.
func unmountBelow(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
		return err
	}
	for _, e := range entries {
		if err := unmount(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// unmount takes the mounts on path away. None is no error.
func unmount(path string) error {
	if rootless() {
		return nil // all mounts are in namespaces that go with the pod
	}
	for {
		err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		switch err {
		case nil:
		case unix.EINVAL, unix.ENOENT, unix.ENOTDIR:
			return nil
		default:
			return fmt.Errorf("unmount %s: %w", path, err)
		}
	}
}

// openSubPath opens a path below a volume. A link in the volume never leads out
// of it (CVE-2017-1002101, CVE-2021-25741). A missing directory is made.
func openSubPath(volume, subPath string) (*os.File, error) {
	root, err := os.Open(volume)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	for made := false; ; made = true {
		fd, err := inroot.OpenBeneath(root, subPath, unix.O_PATH)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), filepath.Join(volume, subPath)), nil
		case err == unix.EXDEV:
			return nil, fmt.Errorf("subPath %s leads out of the volume by a symbolic link: %w", subPath, err)
		case err != unix.ENOENT || made:
			return nil, fmt.Errorf("subPath %s: %w", subPath, err)
		}
		if err := makeBelow(volume, subPath); err != nil {
			return nil, fmt.Errorf("subPath %s: %w", subPath, err)
		}
	}
}

// makeBelow makes directories below volume, and nowhere else.
func makeBelow(volume, subPath string) error {
	root, err := os.OpenRoot(volume)
	if err != nil {
		return err
	}
	defer root.Close()
	return root.MkdirAll(subPath, 0o755)
}
