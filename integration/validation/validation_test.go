package validation

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
)

func TestMain(m *testing.M) {
	os.Exit(testkit.Reap(func() int { return testkit.Run(m) }))
}

// The programs print what they find in the Test Anything Protocol.
var (
	plan   = regexp.MustCompile(`(?m)^1\.\.\d`)
	failed = regexp.MustCompile(`(?m)^not ok .*$`)
	excuse = regexp.MustCompile(`(?i)# *(skip|todo)`)
)

func TestValidation(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	dir := build(t)
	binary := os.Getenv("RUNTIME") // to see how another does
	if binary == "" {
		var err error
		if binary, err = testkit.Build("peapod"); err != nil {
			t.Fatal(err)
		}
	}
	binary = withRoot(t, binary)
	list, err := filepath.Glob(dir + "/*")
	if err != nil {
		t.Fatal(err)
	}
	passed := 0
	for _, path := range list {
		name := filepath.Base(path)
		if name == "runtimetest" || strings.HasPrefix(name, "rootfs-") {
			continue
		}
		complaint := validate(t, path, binary)
		for range 9 {
			if complaint != "" && hasty[name] {
				t.Logf("%s once more: %s", name, complaint)
				complaint = validate(t, path, binary)
			}
		}
		reason, known := failures[name]
		switch {
		case unsteady[name]:
		case complaint == "":
			passed++
			if known {
				t.Errorf("%s passes, but is listed as failing: %s", name, reason)
			}
		case !known:
			t.Errorf("%s: %s", name, complaint)
		}
	}
	t.Logf("%d passed", passed)
}

// withRoot is a runtime with a state directory of the test's own: programs that fail
// leave containers behind.
func withRoot(t *testing.T, binary string) string {
	t.Helper()
	root, script := filepath.Join(t.TempDir(), "state"), filepath.Join(t.TempDir(), "runtime")
	text := fmt.Sprintf("#!/bin/sh\nexec '%s' --root '%s' \"$@\"\n", binary, root)
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		left, err := exec.Command(script, "list", "-q").Output()
		if err != nil {
			t.Error(err)
		}
		for id := range strings.FieldsSeq(string(left)) {
			if out, err := exec.Command(script, "delete", "-f", id).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		}
	})
	return script
}

// build builds the programs, with what they need beside them.
func build(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	cmd := exec.Command("go", "build", "-C", "tools", "-o", dir+"/", "tool")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the validation programs: %v\n%s", err, out)
	}
	list := exec.Command("go", "list", "-C", "tools", "-m", "-f", "{{.Dir}}", "github.com/opencontainers/runtime-tools")
	module, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	archive := "rootfs-" + runtime.GOARCH + ".tar.gz"
	data, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(module)), archive))
	if err != nil {
		t.Skipf("the programs have no root file system for this architecture: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, archive), data, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// validate runs one program and tells what it has to complain about.
func validate(t *testing.T, path, binary string) (complaint string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path)
	cmd.Dir, cmd.WaitDelay = filepath.Dir(path), time.Second
	cmd.Env = append(os.Environ(), "RUNTIME="+binary)
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		t.Fatal(err)
	}
	var wrong []string
	for _, line := range failed.FindAllString(string(out), -1) {
		if !excuse.MatchString(line) {
			wrong = append(wrong, line)
		}
	}
	if err == nil && plan.Match(out) && len(wrong) == 0 {
		return ""
	}
	if len(wrong) == 0 {
		return fmt.Sprintf("%v\n%s", err, out[max(0, len(out)-1000):])
	}
	return strings.Join(wrong, "\n")
}
