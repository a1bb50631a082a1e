package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/peapod/peapod/pod"
)

// podLibrary starts the pod by package pod in the harness' process, from its
// JSON like the commands.
func (s *stage) podLibrary(m *marker) (*contender, error) {
	path, err := s.writePod("library.json", filepath.Join(s.Tmp, "rootfs"), m)
	if err != nil {
		return nil, err
	}
	store := pod.Store{Root: filepath.Join(s.dir, "state", "pods"), Data: filepath.Join(s.dir, "data", "pods")}
	once := func(ctx context.Context) (time.Duration, error) {
		begin := time.Now()
		p, err := pod.Load(path)
		if err != nil {
			return 0, err
		}
		running, err := pod.Start(ctx, p, &pod.Options{Store: store})
		if err != nil {
			return 0, err
		}
		err = m.await(2, -1, nil)
		d := time.Since(begin)
		running.Stop(0)
		running.Wait()
		return d, err
	}
	finish := func() error {
		err := store.Remove(context.Background(), podName, true)
		if errors.Is(err, pod.ErrNotExist) {
			return nil
		}
		return err
	}
	return &contender{name: "peapod library", limit: 10 * time.Millisecond, share: 4, once: once, finish: finish}, nil
}
