package program

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// The interpreter of the other architecture passes the same tests under
// emulation. Debian's package qemu-user-static has the emulators.
func TestEmulated(t *testing.T) {
	if os.Getenv(emulatorVariable) != "" {
		t.Skip("this is the emulated run")
	}
	other, emulator := "arm64", "qemu-aarch64-static"
	if runtime.GOARCH == "arm64" {
		other, emulator = "amd64", "qemu-x86_64-static"
	}
	path, err := exec.LookPath(emulator)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("no %s to run %s programs with: install qemu-user-static", emulator, other)
	}
	binary := filepath.Join(t.TempDir(), "program.test")
	build := exec.Command("go", "test", "-c", "-o", binary, ".")
	build.Env = append(os.Environ(), "GOARCH="+other, "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the tests for %s: %v\n%s", other, err, out)
	}
	emulated := exec.Command(path, binary, "-test.v", "-test.timeout=2m")
	emulated.Env = append(os.Environ(), emulatorVariable+"="+path)
	out, err := emulated.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}
