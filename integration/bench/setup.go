package main

import (
	"bytes"
	"context"
	_ "embed" // for the floor's source
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed floor/floor.c
var floorSource []byte

// contenders are the programs of a benchmark: absolute paths, "" for what is
// not there. It goes to the stages as JSON.
type contenders struct {
	Options                                    *options
	Tmp                                        string
	Peapod, Crun, Runc, Floor, Busybox, Podman string
	Versions                                   map[string]string // name -> version
	Notes                                      []string          // what is missing and why
	Spec                                       json.RawMessage   // of `runc spec`, changed by bundleSpec
}

// findContenders looks for the peers, builds runc and the floor, and makes
// tmp/rootfs, the root of all containers.
func findContenders(ctx context.Context, o *options, root, tmp string) (*contenders, error) {
	c := &contenders{Options: o, Tmp: tmp, Versions: make(map[string]string)}
	if _, err := os.Stat(o.peapod); err == nil {
		c.Peapod = o.peapod
	} else {
		c.note("peapod: there is no %s; run `make build` first", filepath.Base(o.peapod))
	}
	c.Crun = c.look("crun", "apt-get install crun")
	c.Podman = c.look("podman", "apt-get install podman")
	if c.Busybox = c.look("busybox", "apt-get install busybox-static"); c.Busybox == "" {
		return nil, errors.New("there is no busybox for the containers' root; try apt-get install busybox-static")
	}
	var err error
	if c.Runc, err = buildRunc(ctx, root); err != nil {
		c.note("runc: %v", err)
	}
	if c.Floor, err = buildFloor(ctx, tmp); err != nil {
		c.note("the floor: %v", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, errors.New("interrupted")
	}
	for name, path := range map[string]string{"peapod": c.Peapod, "crun": c.Crun, "runc": c.Runc, "podman": c.Podman} {
		if path != "" {
			c.Versions[name] = version(ctx, path)
		}
	}
	if err := makeRoot(filepath.Join(tmp, "rootfs"), c.Busybox); err != nil {
		return nil, err
	}
	c.Spec, err = c.baseSpec(ctx)
	return c, err
}

func (c *contenders) note(format string, args ...any) {
	c.Notes = append(c.Notes, fmt.Sprintf(format, args...))
	fmt.Fprintln(os.Stderr, "bench: note:", c.Notes[len(c.Notes)-1])
}

func (c *contenders) look(name, remedy string) string {
	path, err := exec.LookPath(name)
	if err != nil {
		c.note("%s: it is not installed; try %s", name, remedy)
		return ""
	}
	return path
}

// output runs a command and returns what it printed; an error has its stderr.
func output(ctx context.Context, dir string, name string, args ...string) ([]byte, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stderr = dir, &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", filepath.Base(name), strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

// version is the last word of the first line of `PROGRAM --version`.
func version(ctx context.Context, path string) string {
	out, err := output(ctx, "/", path, "--version")
	line, _, _ := strings.Cut(string(out), "\n")
	words := strings.Fields(line)
	if err != nil || len(words) == 0 {
		return "unknown"
	}
	return words[len(words)-1]
}

// buildRunc builds the runc of go.mod into the user's cache, once for each
// version. It needs cgo: runc enters namespaces in C before Go starts.
func buildRunc(ctx context.Context, root string) (string, error) {
	const module = "github.com/opencontainers/runc"
	v, err := output(ctx, root, "go", "list", "-m", "-f", "{{.Version}}", module)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	path := filepath.Join(cache, "peapod-bench", "runc-"+strings.TrimSpace(string(v)))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	fmt.Fprintf(os.Stderr, "bench: building %s %s\n", module, bytes.TrimSpace(v))
	part := path + ".part"
	_, err = output(ctx, root, "env", "CGO_ENABLED=1", "go", "build", "-trimpath", "-ldflags=-s -w", "-o", part, module)
	if err != nil {
		return "", err
	}
	return path, os.Rename(part, path)
}

func buildFloor(ctx context.Context, tmp string) (string, error) {
	source, path := filepath.Join(tmp, "floor.c"), filepath.Join(tmp, "floor")
	if err := os.WriteFile(source, floorSource, 0o644); err != nil {
		return "", err
	}
	_, err := output(ctx, tmp, "cc", "-O2", "-static", "-o", path, source)
	if err != nil {
		return "", err
	}
	return path, nil
}

// makeRoot makes the root that all containers share. The mount points are
// there beforehand: no runtime has to make them, and none may in a root that
// is read-only.
func makeRoot(root, busybox string) error {
	for _, dir := range []string{"bin", "dev", "etc", "marker", "proc", "root", "sys", "tmp", "var"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	b, err := os.ReadFile(busybox)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "bin/busybox"), b, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"sh", "sleep", "true"} {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", name)); err != nil {
			return err
		}
	}
	return nil
}
