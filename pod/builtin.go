package pod

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// builtinImage returns the root directory of the image builtin:demo: a copy of
// the binary, so that the one of the host stays out of a container's reach. It
// is made once for each build of it.
func (s *Store) builtinImage(binary string) (string, error) {
	in, err := os.Open(binary)
	if err != nil {
		return "", fmt.Errorf("image %s: %w", BuiltinDemo, err)
	}
	defer in.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(in.Fd()), &st); err != nil {
		return "", fmt.Errorf("image %s: %w", BuiltinDemo, err)
	}
	images := filepath.Join(s.dataDir(), "images")
	root := filepath.Join(images, fmt.Sprintf("demo-%x-%x-%x-%x", st.Dev, st.Ino, st.Size, st.Mtim.Nano()))
	if _, err := os.Stat(root); err == nil {
		return root, nil
	}
	if err := os.MkdirAll(images, 0o755); err != nil {
		return "", err
	}
	temporary, err := os.MkdirTemp(images, ".demo-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temporary)
	if err := fillBuiltin(temporary, in); err != nil {
		return "", fmt.Errorf("image %s: %w", BuiltinDemo, err)
	}
	// Somebody else may have been faster; then theirs serves.
	if err := os.Rename(temporary, root); err != nil {
		if _, statErr := os.Stat(root); statErr != nil {
			return "", err
		}
	}
	return root, nil
}

func fillBuiltin(root string, binary io.Reader) error {
	for _, dir := range []string{"bin", "dev", "etc", "proc", "sys", "tmp"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	// Whatever the umask is.
	for dir, mode := range map[string]os.FileMode{"tmp": 0o777 | os.ModeSticky, "bin": 0o755, "etc": 0o755, ".": 0o755} {
		if err := os.Chmod(filepath.Join(root, dir), mode); err != nil {
			return err
		}
	}
	out, err := os.OpenFile(filepath.Join(root, BuiltinBinary), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, binary)
	return errors.Join(err, out.Chmod(0o755), out.Close())
}
