package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/peapod/peapod/internal/testkit"
)

// builds are the compiled tests, and the programs that these run: each once for
// an architecture.
type builds struct {
	root, dir string
	mu        sync.Mutex
}

// test compiles a package's.
func (b *builds) test(ctx context.Context, arch string, s suite) (string, error) {
	return b.make(ctx, arch, s.file(), func(path string) []string {
		return []string{"test", "-c", "-ldflags=-s -w", "-o", path, "./" + s.pkg}
	})
}

// program builds one of testkit's.
func (b *builds) program(ctx context.Context, arch string, p testkit.Program) (string, error) {
	return b.make(ctx, arch, p.Name, func(path string) []string {
		return append(append([]string{"build", "-o", path}, p.Flags...), p.Package)
	})
}

// guest builds the machine's side of this program.
func (b *builds) guest(ctx context.Context, arch string) (string, error) {
	return b.make(ctx, arch, "guest", func(path string) []string {
		return []string{"build", "-ldflags=-s -w", "-o", path, "./integration/vm/guest"}
	})
}

func (b *builds) make(ctx context.Context, arch, name string, args func(path string) []string) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	path := filepath.Join(b.dir, arch, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	cmd := exec.CommandContext(ctx, "go", args(path)...)
	cmd.Dir = b.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go %s for %s: %w\n%s", strings.Join(args(path), " "), arch, err, out)
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s has no tests", name)
	}
	return path, nil
}
