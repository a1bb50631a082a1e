package runtime

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
	"github.com/peapod/peapod/rootfs"
)

// A container's writes go to its own directory.
func TestOverlay(t *testing.T) {
	s := newStage(t)
	write(t, s.image+"/etc/config", "image")
	dir := filepath.Dir(s.image)
	for _, name := range []string{"up,per:x", "work"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.spec.Process.Args = ops(op("create", "/etc/config", "container"), op("cat", "/etc/config"), op("mkdir", "/new"))
	o := s.options(s.id())
	o.Overlay = &rootfs.Overlay{Upper: filepath.Join(dir, "up,per:x"), Work: filepath.Join(dir, "work")}
	if out, _ := s.launch(o, (*Runtime).Run).finish(); out != "ok\ncontainer\nok" {
		t.Errorf("%q", out)
	}
	if content(t, s.image+"/etc/config") != "image" || content(t, o.Overlay.Upper+"/etc/config") != "container" {
		t.Error("the image was changed")
	}
	o = s.options(s.id())
	o.Overlay = &rootfs.Overlay{Upper: filepath.Join(dir, "none"), Work: filepath.Join(dir, "work")}
	if _, err := s.r.Run(testkit.Soon(t), s.id(), o); err == nil {
		t.Error("no error for a missing upper directory")
	}
}
