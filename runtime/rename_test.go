package runtime

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/inroot"
	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// renameAlways renames a directory on another thread until the test ends.
func renameAlways(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	names := []string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}
	if err := os.Mkdir(names[0], 0o755); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				unix.Rename(names[i%2], names[1-i%2])
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-stopped })
}

// A rename anywhere on the machine makes openat2(2) fail while it follows a link
// with "..". Masks, read-only paths and mounts are put in place all the same.
func TestRenamesMeanwhile(t *testing.T) {
	s := newStage(t)
	for _, name := range []string{"masked/x", "fixed/x", "volume/x", "file"} {
		write(t, filepath.Join(s.image, "deep/down", name), "image")
	}
	if err := os.Symlink(strings.Repeat("deep/../", 12)+"deep/down", filepath.Join(s.image, "up")); err != nil {
		t.Fatal(err)
	}
	volume := t.TempDir()
	write(t, filepath.Join(volume, "x"), "volume")
	s.spec.Linux.MaskedPaths = []string{"/up/masked", "/up/file", "/up/missing"}
	s.spec.Linux.ReadonlyPaths = []string{"/up/fixed", "/up/none"}
	for _, at := range []string{"/up/volume", "/up/new/dir"} {
		s.spec.Mounts = append(s.spec.Mounts, specs.Mount{Destination: at, Type: "bind", Source: volume, Options: []string{"bind"}})
	}
	s.spec.Mounts = append(s.spec.Mounts, specs.Mount{Destination: "/up/newfile", Type: "bind", Source: filepath.Join(volume, "x"), Options: []string{"bind"}})

	renameAlways(t)
	refused := countRefusals(t, filepath.Join(s.image), "up/file")
	begin, n := time.Now(), 0
	for ; n < 10 || n < 100 && time.Since(begin) < 2*time.Second; n++ {
		s.expect("ls /up/masked", "", "cat /up/file", "", "create /up/fixed/x x", "EROFS", "cat /up/volume/x", "volume",
			"cat /up/new/dir/x", "volume", "cat /up/newfile", "volume", "ls /up/missing", "ENOENT")
		if t.Failed() {
			break
		}
	}
	t.Logf("%d containers while %d of 1000 lookups are refused", n, refused)
}

// countRefusals tells how many of 1000 lookups are not to be had at the first
// attempt.
func countRefusals(t *testing.T, dir, file string) (refused int) {
	t.Helper()
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	how := &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT}
	testkit.Until(t, func() string {
		refused = 0
		for range 1000 {
			fd, err := unix.Openat2(int(root.Fd()), file, how)
			switch err {
			case nil:
				unix.Close(fd)
			case unix.EAGAIN:
				refused++
			default:
				t.Fatal(err)
			}
			if fd, err = inroot.Open(root, file, unix.O_PATH); err != nil {
				t.Fatal(err)
			}
			unix.Close(fd)
		}
		if refused == 0 {
			return "no lookup of " + file + " was refused: the renames do nothing"
		}
		return ""
	})
	return refused
}
