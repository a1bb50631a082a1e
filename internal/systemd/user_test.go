package systemd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
)

func TestOutside(t *testing.T) {
	for text, want := range map[string]int{
		"         0       1000          1\n": 1000, "1 100000 5\n0 7 1\n": 7, "0 0 4294967295\n": 0,
	} {
		if got, ok := outside(text); got != want || !ok {
			t.Errorf("%q: %d, %v", text, got, ok)
		}
	}
	if got, ok := outside("5 100000 5\n"); ok {
		t.Error(got)
	}
}

// TestRoutes: the manager's own socket comes last; what is not there is not tried.
func TestRoutes(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", dir)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+dir+"/bus")
	const nobody = 4294967294
	if UserRuns(nobody) {
		t.Error("there is no manager")
	}
	os.Mkdir(filepath.Join(dir, "systemd"), 0o700)
	for _, file := range []string{"bus", "systemd/private"} {
		if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list := routes(nobody)
	if len(list) != 2 || list[0].private || !list[1].private || !UserRuns(nobody) {
		t.Errorf("%+v", list)
	}
	if _, err := connectUser(testkit.Soon(t), nobody); err == nil || strings.Count(err.Error(), "by unix:path=") != 2 {
		t.Errorf("who is not there answers: %v", err)
	}
}
