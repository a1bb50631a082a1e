package runtime

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/peapod/peapod/internal/kernel"
	"github.com/peapod/peapod/namespaces"
)

// Runtime says where containers are registered and how. The zero value works.
type Runtime struct {
	// Root is the directory of the state, made when it is missing; "" is
	// DefaultRoot(). A container's is containers/<id> below it.
	Root string
	// Log gets what is no error; nil is nowhere.
	Log *slog.Logger

	expected atomic.Pointer[namespaces.Nursery] // see Expect
}

// DefaultRoot is /run/peapod for root, $XDG_RUNTIME_DIR/peapod for others: also for
// one who is root in a user namespace only, as in that of podman without root.
func DefaultRoot() string {
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if !rootless() && (dir == "" || os.Getenv("USER") == "root" || !kernel.InUserNamespace()) {
		return "/run/peapod"
	}
	if dir == "" {
		dir = filepath.Join("/run/user", strconv.Itoa(os.Geteuid())) // where systemd has it
	}
	return filepath.Join(dir, "peapod")
}

func (r *Runtime) root() string {
	if r.Root != "" {
		return r.Root
	}
	return DefaultRoot()
}

func (r *Runtime) log() *slog.Logger {
	if r.Log != nil {
		return r.Log
	}
	return slog.New(slog.DiscardHandler)
}

// dir is where the container called id is registered.
func (r *Runtime) dir(id string) string { return filepath.Join(r.root(), "containers", id) }

// checkID refuses what could not be a directory's name (runc allows the same).
func checkID(id string) error {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-."
	if strings.Trim(id, allowed) != "" || id == "" || id == "." || id == ".." || len(id) > 200 {
		return fmt.Errorf("container id %q: give letters, digits and _ + - . (at most 200)", id)
	}
	return nil
}
