package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/integration/internal/results"
	"github.com/peapod/peapod/internal/seccomp"
)

// oci is a runtime with runc's command line.
type oci struct {
	name, path string
}

// runtimes are those that work in this stage: crun refuses hybrid cgroups.
func (s *stage) runtimes() []oci {
	var all []oci
	for _, r := range []oci{{"peapod", s.Peapod}, {"crun", s.Crun}, {"runc", s.Runc}} {
		if r.path != "" && (r.name != "crun" || s.name == stageUnified) {
			all = append(all, r)
		}
	}
	return all
}

// state is where a runtime keeps its state.
func (s *stage) state(r oci) string { return filepath.Join(s.dir, "state", r.name) }

// command is a command line of r.
func (s *stage) command(r oci, args ...string) []string {
	return append([]string{r.path, "--root", s.state(r)}, args...)
}

func (s *stage) runTable(ctx context.Context) (*results.Table, error) {
	t := &results.Table{Title: s.title("Start and end one container"), Base: s.base("run"),
		Text: "From the start of the command until it has ended, `/bin/true` has run in the container, and all that was made is gone."}
	var all []*contender
	for _, r := range s.runtimes() {
		c, err := s.runContender(r, "run", asItIs)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	library, err := s.libraryContenders()
	if err != nil {
		return nil, err
	}
	all = append(all, library...)
	if s.Floor != "" {
		all = append(all, s.floorContender())
	}
	return t, measure(ctx, s.Options, t, all)
}

// seccompTable measures the same with the profile that container engines apply.
// runc is not among it: as it is built here, without cgo, it has no seccomp.
func (s *stage) seccompTable(ctx context.Context) (*results.Table, error) {
	if s.name != stageUnified || s.Crun == "" {
		return nil, nil
	}
	t := &results.Table{Title: s.title("Start and end one container with Docker's seccomp profile"), Base: s.base("run"),
		Text: "The same with the profile in config.json, which each compiles."}
	var all []*contender
	for _, r := range s.runtimes() {
		if r.name == "runc" {
			continue
		}
		c, err := s.runContender(r, "seccomp", func(spec *specs.Spec) {
			spec.Linux.Seccomp = seccomp.Default(runtime.GOARCH, spec.Process.Capabilities.Bounding)
		})
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return t, measure(ctx, s.Options, t, all)
}

// runContender is a runtime with a bundle. what tells it from others, and change
// makes its spec of the plain one.
func (s *stage) runContender(r oci, what string, change func(*specs.Spec)) (*contender, error) {
	id := r.name + "-" + what
	bundle := filepath.Join(s.dir, id)
	spec, err := s.bundleSpec(s.cgroups.path(id), "/bin/true")
	if err != nil {
		return nil, err
	}
	change(spec)
	if err := writeBundle(bundle, spec); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.state(r), 0o700); err != nil {
		return nil, err
	}
	run := s.command(r, "run", "--bundle", bundle, id)
	c := &contender{name: r.name + " run"}
	if r.name == "peapod" && s.name == stageUnified {
		c.bar = 0.55
	}
	c.once = func(context.Context) (time.Duration, error) { return s.time("/", run...) }
	c.finish = func() error { return s.deleteLeft(r, id) }
	return c, nil
}

// asItIs leaves a spec as it is.
func asItIs(*specs.Spec) {}

// deleteLeft removes what an interrupted run left of a container.
func (s *stage) deleteLeft(r oci, id string) error {
	if _, err := os.Stat(filepath.Join(s.state(r), id)); errors.Is(err, os.ErrNotExist) && r.name != "peapod" {
		return nil
	}
	err := s.quiet(s.command(r, "delete", "--force", id)...)
	if r.name == "peapod" { // whether it has left something is its own affair
		return nil
	}
	return err
}

func (s *stage) floorContender() *contender {
	args := append([]string{s.Floor, filepath.Join(s.Tmp, "rootfs")}, s.cgroups.each("floor")...)
	return &contender{name: "floor: the same calls in C", once: func(context.Context) (time.Duration, error) {
		return s.time("/", args...)
	}}
}

func (s *stage) execTable(ctx context.Context) (*results.Table, error) {
	t := &results.Table{Title: s.title("Run a command in a running container"), Base: s.base("exec"),
		Text: "`/bin/true` by exec, start of the command to its end."}
	all, err := s.execContenders(ctx)
	if err != nil {
		for _, c := range all {
			err = errors.Join(err, c.finish())
		}
		return nil, fmt.Errorf("%s: %w", t.Title, err)
	}
	return t, measure(ctx, s.Options, t, all)
}

// execContenders starts the containers that commands are run in. On failure
// it returns those that have started.
func (s *stage) execContenders(ctx context.Context) (all []*contender, err error) {
	for _, r := range s.runtimes() {
		c, err := s.execContender(r)
		if err != nil {
			return all, fmt.Errorf("%s: %w", r.name, err)
		}
		all = append(all, c)
	}
	c, err := s.libraryExec(ctx)
	if err != nil {
		return all, fmt.Errorf("library: %w", err)
	}
	return append(all, c), nil
}

func (s *stage) execContender(r oci) (*contender, error) {
	id := r.name + "-exec"
	bundle := filepath.Join(s.dir, id)
	spec, err := s.bundleSpec(s.cgroups.path(id), "/bin/sleep", "1000000")
	if err != nil {
		return nil, err
	}
	if err := writeBundle(bundle, spec); err != nil {
		return nil, err
	}
	finish := func() error { return s.quiet(s.command(r, "delete", "--force", id)...) }
	if err := s.quiet(s.command(r, "create", "--bundle", bundle, id)...); err != nil {
		return nil, err
	}
	if err := s.quiet(s.command(r, "start", id)...); err != nil {
		return nil, errors.Join(err, finish())
	}
	exec := s.command(r, "exec", id, "/bin/true")
	c := &contender{name: r.name + " exec", finish: finish}
	if r.name == "peapod" && s.name == stageUnified {
		c.bar = 0.65
	}
	c.once = func(context.Context) (time.Duration, error) { return s.time("/", exec...) }
	return c, nil
}
