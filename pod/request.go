package pod

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Whoever wants something changed of pods that are supervised by another process
// writes a request into that one's directory in $ROOT/groups: NAME.request. The
// process takes it away, and tells how it goes in NAME.answer, a line of JSON each
// time, the last of them with the outcome. Who asks removes that. Both find by
// inotify what the other one has written, and by the lock of the directory whether
// he still lives.

// groupRequest is one of these.
type groupRequest struct {
	// Restart are pods, and Deployments as "deployment/NAME".
	Restart []string `json:"restart,omitempty"`
	// Apply is a file to run.
	Apply *applyRequest `json:"apply,omitempty"`
	// Scale gives Deployments, by name, other numbers of replicas.
	Scale map[string]int `json:"scale,omitempty"`
	// Timeout bounds it, in seconds; 0 does not.
	Timeout float64 `json:"timeout,omitempty"`
	// GracePeriodSeconds is what pods that are stopped have; nil is their own.
	GracePeriodSeconds *float64 `json:"gracePeriodSeconds,omitempty"`
}

// grace is negative where each pod has its own.
func (r *groupRequest) grace() time.Duration {
	if r.GracePeriodSeconds == nil {
		return -1
	}
	return max(0, time.Duration(*r.GracePeriodSeconds*float64(time.Second)))
}

// groupAnswer is a line of the answer.
type groupAnswer struct {
	Text string `json:"text,omitempty"` // how it goes
	Done bool   `json:"done,omitempty"`
	// Error tells why it was not done, or not as a whole.
	Error    string `json:"error,omitempty"`
	ExitCode int    `json:"exitCode,omitempty"`
	// Applied is there with Done.
	Applied []Applied `json:"applied,omitempty"`
}

// errNoGroup tells that nobody takes requests for a pod any more.
var errNoGroup = fmt.Errorf("%w, and neither is its supervisor: start it (peapod pod start), apply its file (peapod pod apply FILE), or remove it (peapod pod rm)", ErrNotRunning)

const (
	requestSuffix = ".request"
	answerSuffix  = ".answer"
	stopSuffix    = ".stop"
)

func (s *Store) groupsDir() string { return filepath.Join(s.root(), "groups") }

func (s *Store) groupPlace(id string) place {
	return place{name: id, state: filepath.Join(s.groupsDir(), id)}
}

// ask has the process of a group do something, and waits until that is done, or
// ctx ends: then it goes on without a witness.
func (s *Store) askGroup(ctx context.Context, id string, r *groupRequest, progress func(string)) (applied []Applied, err error) {
	p := s.groupPlace(id)
	w, err := watch(ctx, p.state)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoGroup
	}
	if err != nil {
		return nil, err
	}
	defer w.close()
	// Made here, so that it can be read when the directory has gone.
	answer, err := os.CreateTemp(p.state, "*"+answerSuffix)
	if err != nil {
		return nil, fmt.Errorf("ask the supervisor: %w", err)
	}
	defer os.Remove(answer.Name())
	defer answer.Close()
	if err := p.request(strings.TrimSuffix(answer.Name(), answerSuffix), r); err != nil {
		return nil, fmt.Errorf("ask the supervisor: %w", err)
	}
	begun := false
	for lines := bufio.NewReader(answer); ; {
		running, err := p.supervised() // before the last that it has to say is read
		if err != nil {
			return nil, err
		}
		if last, err := readProgress(lines, &begun, progress); last != nil || err != nil {
			return last.applied(), err
		}
		switch {
		case !running && begun:
			return nil, errors.New("the supervisor has died meanwhile, and its pods with it (peapod pod ps)")
		case !running:
			return nil, errNoGroup
		}
		if err := w.wait(time.Second); err != nil {
			return nil, fmt.Errorf("%w: the supervisor goes on with it (peapod pod ps)", err)
		}
	}
}

// readProgress reads what there is of an answer, and returns its last line.
func readProgress(lines *bufio.Reader, begun *bool, progress func(string)) (last *groupAnswer, err error) {
	for {
		line, err := lines.ReadBytes('\n') // each is written at once
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		*begun = true
		var a groupAnswer
		if err == nil {
			err = json.Unmarshal(line, &a)
		}
		switch {
		case err != nil:
			return nil, fmt.Errorf("the supervisor's answer: %w", err)
		case a.Error == errNoGroup.Error():
			return nil, errNoGroup
		case a.Error != "":
			return &a, &remoteError{a.Error, a.ExitCode}
		case a.Done:
			return &a, nil
		case progress != nil && a.Text != "":
			progress(a.Text)
		}
	}
}

func (a *groupAnswer) applied() []Applied {
	if a == nil {
		return nil
	}
	return a.Applied
}

// request writes a request, whole or not at all.
func (p place) request(path string, r *groupRequest) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return replaceFile(path+requestSuffix, data)
}

// wakeGroup tells a group's process that a pod's stop.json is there.
func (s *Store) wakeGroup(id, pod string) error {
	err := os.WriteFile(filepath.Join(s.groupPlace(id).state, pod+stopSuffix), nil, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it has just ended
	}
	return err
}
