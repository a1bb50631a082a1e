package inroot

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Run(m)) }

// Links are followed inside of the root, or not at all.
func TestLinks(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"outside": "outside", "root/outside": "inside", "root/sub/file": "file"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"up": "../../outside", "absolute": "/outside", "sub/down": "../sub/file", "loop": "loop", "magic": "/proc/self/root"} {
		if err := os.Symlink(to, filepath.Join(dir, "root", name)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.Open(filepath.Join(dir, "root"))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	type open = func(*os.File, string, uint64) (int, error)
	for _, c := range []struct {
		how  open
		name string
		want string
		err  error
	}{
		{Open, "sub/file", "file", nil}, {Open, "/sub/down", "file", nil},
		{Open, "up", "inside", nil}, {Open, "absolute", "inside", nil}, {Open, "../../outside", "inside", nil},
		{Open, "loop", "", unix.ELOOP}, {Open, "magic", "", unix.ENOENT}, {Open, "none", "", unix.ENOENT},
		{OpenBeneath, "sub/down", "file", nil}, {OpenBeneath, "up", "", unix.EXDEV},
		{OpenBeneath, "absolute", "", unix.EXDEV}, {OpenBeneath, "../outside", "", unix.EXDEV},
	} {
		fd, err := c.how(root, c.name, unix.O_RDONLY)
		if err != c.err {
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
		}
		if err != nil {
			continue
		}
		text := make([]byte, 20)
		n, _ := unix.Read(fd, text)
		unix.Close(fd)
		if string(text[:n]) != c.want {
			t.Errorf("%s: %q, want %q", c.name, text[:n], c.want)
		}
	}
	// The links of procfs lead to what has no name here.
	proc, err := os.Open("/proc/self")
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	for _, how := range []open{Open, OpenBeneath} {
		if fd, err := how(proc, "cwd", unix.O_PATH); err != unix.ELOOP {
			t.Errorf("a magic link: %d, %v", fd, err)
		}
	}
}
