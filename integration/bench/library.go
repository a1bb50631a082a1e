package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/peapod/peapod/runtime"
)

// library is package runtime in the harness' own process, with its own state.
func (s *stage) library() *runtime.Runtime {
	return &runtime.Runtime{Root: filepath.Join(s.dir, "state", "library")}
}

// libraryContenders do in one process what `peapod run` does: with creating
// and starting apart, as the OCI has it, and in one.
func (s *stage) libraryContenders() ([]*contender, error) {
	apart, err := s.libraryContender("peapod library, create to delete", "library-create", func(ctx context.Context, r *runtime.Runtime, id string, o *runtime.CreateOptions) (*runtime.Container, error) {
		c, err := r.Create(ctx, id, o)
		if err != nil {
			return nil, err
		}
		return c, c.Start(ctx)
	})
	if err != nil {
		return nil, err
	}
	if s.name == stageUnified {
		apart.bar = 0.30
	}
	one, err := s.libraryContender("peapod library, run to delete", "library-run", func(ctx context.Context, r *runtime.Runtime, id string, o *runtime.CreateOptions) (*runtime.Container, error) {
		return r.Run(ctx, id, o)
	})
	return []*contender{apart, one}, err
}

type startFunc func(context.Context, *runtime.Runtime, string, *runtime.CreateOptions) (*runtime.Container, error)

func (s *stage) libraryContender(name, id string, start startFunc) (*contender, error) {
	spec, err := s.bundleSpec(s.cgroups.path(id), "/bin/true")
	if err != nil {
		return nil, err
	}
	r := s.library()
	once := func(ctx context.Context) (time.Duration, error) {
		begin := time.Now()
		c, err := start(ctx, r, id, s.createOptions(spec))
		if err != nil {
			return 0, err
		}
		status, err := c.Wait(ctx)
		if err != nil {
			return 0, err
		}
		if err := c.Delete(ctx, false); err != nil {
			return 0, err
		}
		d := time.Since(begin)
		if status.ExitCode() != 0 {
			return 0, fmt.Errorf("/bin/true in %s ended with %+v", id, status)
		}
		return d, nil
	}
	return &contender{name: name, once: once, finish: func() error { return deleteLibrary(r, id) }}, nil
}

// createOptions gives the container what commands get.
func (s *stage) createOptions(spec *specs.Spec) *runtime.CreateOptions {
	return &runtime.CreateOptions{Bundle: s.dir, Spec: spec, Stdin: s.null, Stdout: s.null, Stderr: s.null}
}

// deleteLibrary removes what an interrupted run left.
func deleteLibrary(r *runtime.Runtime, id string) error {
	c, err := r.Load(id)
	if err != nil {
		return nil // it is gone, as it should be
	}
	return c.Delete(context.Background(), true)
}

// libraryExec runs commands in a container of the library's.
func (s *stage) libraryExec(ctx context.Context) (*contender, error) {
	const id = "library-exec"
	spec, err := s.bundleSpec(s.cgroups.path(id), "/bin/sleep", "1000000")
	if err != nil {
		return nil, err
	}
	r := s.library()
	finish := func() error { return deleteLibrary(r, id) }
	c, err := r.Run(ctx, id, s.createOptions(spec))
	if err != nil {
		return nil, err
	}
	process := *spec.Process
	process.Args = []string{"/bin/true"}
	once := func(ctx context.Context) (time.Duration, error) {
		begin := time.Now()
		p, err := c.Exec(ctx, &runtime.ExecOptions{Process: &process, Stdin: s.null, Stdout: s.null, Stderr: s.null})
		if err != nil {
			return 0, err
		}
		status, err := p.Wait(ctx)
		d := time.Since(begin)
		if err == nil && status.ExitCode() != 0 {
			err = fmt.Errorf("/bin/true in %s ended with %+v", id, status)
		}
		return d, err
	}
	return &contender{name: "peapod library exec", once: once, finish: finish}, nil
}
