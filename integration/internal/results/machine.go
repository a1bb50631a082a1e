package results

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Machine is when and on what something was measured: "22 November 2026 on …".
func Machine(date time.Time) string {
	return fmt.Sprintf("%s on %s, %d processors, Linux %s", date.UTC().Format("2 January 2006"), processor(), runtime.NumCPU(), kernel())
}

func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "of unknown version"
	}
	return string(bytes.TrimRight(u.Release[:], "\x00"))
}

// processor is the name that /proc/cpuinfo gives; arm64's has none.
func processor() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return runtime.GOARCH
}

// ModuleRoot is the directory of go.mod, upwards from the current one.
func ModuleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == "/" {
			return "", errors.New("there is no go.mod above the current directory; run it inside of peapod's source tree")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}
