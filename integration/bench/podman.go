package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const podmanImage = "localhost/peapod-bench:latest"

// podman calls podman with storage of its own below the stage's directory, so
// that the machine's images and pods are not touched.
type podman struct {
	*stage
	runtime string // "" is podman's default
	left    []string
}

func (p *podman) args(args ...string) []string {
	dir := filepath.Join(p.dir, "podman")
	all := []string{p.Podman,
		"--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"), "--tmpdir", filepath.Join(dir, "tmp"),
		"--cgroup-manager", "cgroupfs", "--events-backend", "none"}
	if p.runtime != "" {
		all = append(all, "--runtime", p.runtime)
	}
	return append(all, args...)
}

// newPodman makes the benchmark's root an image and tries to run it. Podman's
// default runtime, crun, does not work with hybrid cgroups; runc may be there.
func (s *stage) newPodman(ctx context.Context) (*podman, error) {
	p := &podman{stage: s}
	// Podman's default limits are above what root may set where
	// CAP_SYS_RESOURCE is missing.
	conf := filepath.Join(s.dir, "containers.conf")
	text := "[containers]\npids_limit = 0\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]\n"
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	s.env = append(s.env, "CONTAINERS_CONF="+conf)
	// Podman leaves its parent of all pods' cgroups.
	for _, dir := range s.cgroups.dirs {
		parent := filepath.Join(filepath.Dir(dir), "libpod_parent")
		if _, err := os.Stat(parent); errors.Is(err, os.ErrNotExist) {
			p.left = append(p.left, parent)
		}
	}
	archive := filepath.Join(s.dir, "image.tar")
	if _, err := output(ctx, "/", "tar", "-C", filepath.Join(s.Tmp, "rootfs"), "-cf", archive, "."); err != nil {
		return nil, err
	}
	var errs error
	for _, p.runtime = range []string{"", "runc"} {
		err := s.quiet(p.args("import", archive, podmanImage)...)
		if err == nil {
			err = s.quiet(p.args("run", "--rm", "--network", "none", podmanImage, "/bin/true")...)
		}
		if err == nil {
			return p, nil
		}
		errs = errors.Join(errs, err)
	}
	return nil, errors.Join(errs, p.finish())
}

// contender is podman's start of the same pod, with no network but its
// loopback, as in peapod.
func (p *podman) contender(m *marker) (*contender, error) {
	path, err := p.writePod("podman.json", podmanImage, m)
	if err != nil {
		return nil, err
	}
	run := p.args("kube", "play", "--network", "none", path)
	rm := p.args("pod", "rm", "--force", "--time", "0", podName)
	return &contender{
		name:   podmanName,
		share:  20,
		once:   func(context.Context) (time.Duration, error) { return p.timePod(m, run, rm) },
		finish: p.finish,
	}, nil
}

const podmanName = "podman kube play"

func (p *podman) finish() error {
	err := errors.Join(
		p.quiet(p.args("pod", "rm", "--all", "--force", "--time", "0")...),
		p.quiet(p.args("rmi", "--all", "--force")...),
	)
	for _, dir := range p.left {
		if err2 := removeGroups(dir); err2 != nil {
			err = errors.Join(err, fmt.Errorf("remove the cgroup that podman left: %w", err2))
		}
	}
	return err
}
