package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/integration/internal/results"
)

// A stage is one arrangement of cgroups, with its own process in a mount
// namespace of its own, so that the machine's mounts are never touched.
//
// "unified" has a plain cgroup2 mount at /sys/fs/cgroup, which all peers work
// with; on a hybrid host it has no controllers. "host" has what the host has,
// and is left out where that is cgroup2 anyway.
const (
	stageArgument = "-stage"
	stageUnified  = "unified"
	stageHost     = "host"
)

func stages() []string {
	if isCgroup2("/sys/fs/cgroup") {
		return []string{stageUnified}
	}
	return []string{stageUnified, stageHost}
}

func isCgroup2(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC
}

// stageInput and stageOutput go to and from a stage's process as JSON.
type stageInput struct {
	Stage      string
	Own        bool // see stage.own
	Contenders *contenders
}

type stageOutput struct {
	Tables  []results.Table
	Figures []results.Figure
	Notes   []string
}

// runStage runs a stage in a process of its own and waits until it has
// cleared up, also when ctx ends.
func runStage(ctx context.Context, stage string, c *contenders) (*stageOutput, error) {
	all := stages()
	in, err := json.Marshal(stageInput{Stage: stage, Own: stage == all[len(all)-1], Contenders: c})
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(c.Tmp, stage)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "input.json"), in, 0o644); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe", stageArgument)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	cmd.WaitDelay = time.Minute
	// Go makes all mounts private right after the unshare.
	cmd.SysProcAttr = &unix.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGTERM}
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("stage %s: %w", stage, err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "output.json"))
	if err != nil {
		return nil, err
	}
	out := new(stageOutput)
	return out, json.Unmarshal(b, out)
}

// stageMain is the stage's process; its directory is the current one.
func stageMain(ctx context.Context) (err error) {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	b, err := os.ReadFile("input.json")
	if err != nil {
		return err
	}
	var in stageInput
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	// All keep their state on a tmpfs, as /run is one on most hosts.
	state := filepath.Join(dir, "state")
	if err := os.Mkdir(state, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", state, "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount a tmpfs for the state: %w", err)
	}
	if in.Stage == stageUnified {
		if err := unix.Mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, ""); err != nil {
			return fmt.Errorf("mount cgroup2 on a private /sys/fs/cgroup: %w", err)
		}
	}
	s, err := newStage(&in, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	out, err := s.run(ctx)
	if err != nil {
		return err
	}
	b, err = json.Marshal(out)
	if err != nil {
		return err
	}
	return os.WriteFile("output.json", b, 0o644)
}

// stage is what the measurements of one stage share.
type stage struct {
	*contenders
	*runner
	name    string
	own     bool // the machine's own cgroups, which podman needs
	dir     string
	cgroups *cgroupTree
	notes   []string // what could not be measured
}

func newStage(in *stageInput, dir string) (*stage, error) {
	r, err := newRunner(dir)
	if err != nil {
		return nil, err
	}
	tree, err := newCgroupTree(fmt.Sprintf("peapod-bench-%d", os.Getpid()))
	if err != nil {
		r.close()
		return nil, err
	}
	return &stage{contenders: in.Contenders, runner: r, name: in.Stage, own: in.Own, dir: dir, cgroups: tree}, nil
}

func (s *stage) close() error {
	s.runner.close()
	return s.cgroups.remove()
}

// run measures everything. The supervisor of a pod is the same in any stage.
func (s *stage) run(ctx context.Context) (*stageOutput, error) {
	out := new(stageOutput)
	for _, measurement := range []func(context.Context) (*results.Table, error){s.runTable, s.seccompTable, s.shareTable, s.execTable, s.podTable} {
		t, err := measurement(ctx)
		if err != nil {
			return nil, err
		}
		if t != nil {
			out.Tables = append(out.Tables, *t)
		}
	}
	out.Notes = s.notes
	if !s.own || s.Peapod == "" {
		return out, nil
	}
	var err error
	out.Figures, err = s.supervisorFigures(ctx)
	return out, err
}

// base is the row that a stage's ratios refer to.
func (s *stage) base(what string) string {
	if s.name == stageUnified && s.Crun != "" {
		return "crun " + what
	}
	return "runc " + what
}

func (s *stage) title(what string) string {
	if s.name == stageHost {
		return what + ", hybrid cgroups"
	}
	return what
}
