package pod

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/peapod/peapod/internal/proc"
	"golang.org/x/sys/unix"
)

const (
	// askTimeout is for one process: one that is stopped does not answer.
	askTimeout = 2 * time.Second
	// maxAsked are asked at the same time.
	maxAsked = 32
	// maxTrafficReply bounds an answer: 100,000 endpoints take less.
	maxTrafficReply = 256 << 20
)

// Traffic asks all processes that forward to the services for what they have
// counted: to all services, if none is named. The error tells which of them did
// not answer; the list has what the others said, ordered by process.
func (s *Store) Traffic(ctx context.Context, services ...string) ([]ProcessTraffic, error) {
	entries, err := os.ReadDir(s.hubsDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, denied(err)
	}
	s.sweepSockets()
	var (
		asking sync.WaitGroup
		slots  = make(chan struct{}, maxAsked)
		mu     sync.Mutex
		list   []ProcessTraffic
		errs   []error
	)
	for _, e := range entries {
		id, ok := parseSocketName(e.Name())
		if !ok {
			continue
		}
		slots <- struct{}{}
		asking.Go(func() {
			defer func() { <-slots }()
			t, err := s.ask(ctx, id, e.Name(), services)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("ask process %d for what it forwards: %w", id.PID, err))
			} else if t != nil {
				list = append(list, *t)
			}
		})
	}
	asking.Wait()
	slices.SortStableFunc(list, func(a, b ProcessTraffic) int { return a.PID - b.PID })
	return list, errors.Join(errs...)
}

// ask returns nil for a process that has ended or is about to, or has only begun.
func (s *Store) ask(ctx context.Context, id proc.ID, name string, services []string) (*ProcessTraffic, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var c net.Conn
	err := inDir(s.hubsDir(), name, func(path string) (err error) {
		c, err = new(net.Dialer).DialContext(ctx, "unix", path)
		return err
	})
	var t *ProcessTraffic
	if err == nil {
		defer c.Close()
		defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })()
		t, err = converse(c, services)
	}
	if errors.Is(err, unix.ECONNREFUSED) {
		return nil, nil // it is about to listen, or does no more
	}
	if _, gone := os.Stat(filepath.Join(s.hubsDir(), name)); err != nil && (gone != nil || !id.Alive()) {
		return nil, nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("it gives no answer; is it stopped?")
	}
	return t, err
}

// converse asks one question.
func converse(c net.Conn, services []string) (*ProcessTraffic, error) {
	if err := json.NewEncoder(c).Encode(trafficRequest{trafficVersion, services}); err != nil {
		return nil, err
	}
	var reply trafficReply
	if err := json.NewDecoder(io.LimitReader(c, maxTrafficReply)).Decode(&reply); err != nil {
		return nil, err
	}
	switch {
	case reply.Error != "":
		return nil, errors.New(reply.Error)
	case reply.ProcessTraffic == nil:
		return nil, errors.New("an empty answer")
	}
	return reply.ProcessTraffic, nil
}
