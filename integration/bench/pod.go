package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/integration/internal/results"
)

const podName = "bench"

// podSpec is a Kubernetes Pod of two containers that tell the marker that they
// run, and then sleep.
func podSpec(image string, m *marker) ([]byte, error) {
	type object = map[string]any
	var containers []object
	for _, name := range []string{"one", "two"} {
		containers = append(containers, object{
			"name": name, "image": image, "imagePullPolicy": "Never",
			"command":      []string{"/bin/sh", "-c", "echo $0 >/marker/fifo; exec /bin/sleep 1000000", name},
			"volumeMounts": []object{{"name": "marker", "mountPath": "/marker"}},
		})
	}
	return json.MarshalIndent(object{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": object{"name": podName},
		"spec": object{
			"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": containers,
			"volumes": []object{{"name": "marker", "hostPath": object{"path": m.dir, "type": "Directory"}}},
		},
	}, "", "  ")
}

// podTable measures the start of a pod: from the start of the command to the
// moment when both processes run.
func (s *stage) podTable(ctx context.Context) (*results.Table, error) {
	t := &results.Table{Title: s.title("Start a pod of two containers"), Base: podmanName,
		Text: "From the pod's JSON to both processes running: each writes a line to a FIFO when it does. " +
			"The end of the pod is not in the time."}
	m, err := newMarker(filepath.Join(s.dir, "marker"))
	if err != nil {
		return nil, err
	}
	defer m.close()
	all, err := s.podContenders(ctx, m)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return t, measure(ctx, s.Options, t, all)
}

func (s *stage) podContenders(ctx context.Context, m *marker) ([]*contender, error) {
	var all []*contender
	if s.Peapod != "" {
		for _, network := range []string{"none", "bridge"} {
			c, err := s.peapodPod(m, network)
			if err != nil {
				return nil, err
			}
			all = append(all, c)
		}
	}
	library, err := s.podLibrary(m)
	if err != nil {
		return nil, err
	}
	all = append(all, library)
	if s.Podman == "" || !s.own {
		return all, nil
	}
	p, err := s.newPodman(ctx)
	if err != nil {
		s.notes = append(s.notes, fmt.Sprintf("podman: it does not run a container here: %v", err))
		return all, nil
	}
	c, err := p.contender(m)
	if err != nil {
		return nil, errors.Join(err, p.finish())
	}
	return append(all, c), nil
}

// peapod is a command line of peapod with this stage's state.
func (s *stage) peapod(args ...string) []string {
	return s.command(oci{"peapod", s.Peapod}, append([]string{"--data", filepath.Join(s.dir, "data", "peapod")}, args...)...)
}

// writePod writes the spec of the pod with that image to a file.
func (s *stage) writePod(file, image string, m *marker) (string, error) {
	b, err := podSpec(image, m)
	if err != nil {
		return "", err
	}
	path := filepath.Join(s.dir, file)
	return path, os.WriteFile(path, b, 0o644)
}

// peapodPod has the bar's network, none, or one as podman gives it.
func (s *stage) peapodPod(m *marker, network string) (*contender, error) {
	path, err := s.writePod("pod.json", filepath.Join(s.Tmp, "rootfs"), m)
	if err != nil {
		return nil, err
	}
	run, rm := s.peapod("pod", "run", "-d", "--network", network, path), s.peapod("pod", "rm", "-f", podName)
	c := &contender{name: "peapod pod run -d, " + network, share: 4}
	if network == "none" {
		c.limit = 10 * time.Millisecond
	}
	c.once = func(context.Context) (time.Duration, error) { return s.timePod(m, run, rm) }
	c.finish = func() error { s.quiet(rm...); return nil }
	return c, nil
}

// timePod runs a command that starts the pod, takes the time until both
// containers run, and then removes the pod.
func (s *stage) timePod(m *marker, run, remove []string) (d time.Duration, err error) {
	begin := time.Now()
	p, err := s.start("/", run)
	if err != nil {
		return 0, err
	}
	pidfd, err := unix.PidfdOpen(p.Pid, 0)
	if err != nil {
		return 0, errors.Join(err, p.Kill(), s.wait(p, run))
	}
	defer unix.Close(pidfd)
	waited := false
	done := func() error { waited = true; return s.wait(p, run) }
	err = m.await(2, pidfd, done)
	d = time.Since(begin)
	if err != nil && !waited {
		p.Kill()
		done()
		return 0, err
	}
	if !waited {
		err = done()
	}
	if err != nil {
		return 0, err
	}
	return d, s.quiet(remove...)
}
