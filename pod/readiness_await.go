package pod

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// awaitReady waits until a member's pod has been ready for a while. It gives up
// after the deadline, 0 is none, and when the time of the task is over.
func (t *task) awaitReady(m *member, while, deadline time.Duration) error {
	ctx := t.ctx
	if deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, deadline, fmt.Errorf("no progress for %v", deadline))
		defer cancel()
	}
	slow := time.AfterFunc(quietReady, func() { t.tellUnready(m, ctx) })
	defer slow.Stop()
	why, err := m.supervisor.awaitReady(ctx, while)
	if err != nil {
		return t.notReady(m, why, err)
	}
	t.tell("pod %s is ready", m.name)
	return nil
}

// quietReady is after how long somebody wonders what is being waited for.
const quietReady = 2 * time.Second

// tellUnready tells what is being waited for, and for how long at most.
func (t *task) tellUnready(m *member, ctx context.Context) {
	most := ""
	if deadline, ok := ctx.Deadline(); ok {
		most = fmt.Sprintf(" for up to %v", time.Until(deadline).Round(time.Second))
	}
	status := m.supervisor.Status()
	t.tell("waiting%s for pod %s to be ready (%s)", most, m.name, status.whyNotReady())
}

func (t *task) notReady(m *member, why string, err error) error {
	if why != "" {
		why = " (" + why + ")"
	}
	return fmt.Errorf("pod %s is not ready%s: %w; peapod pod logs %s may tell more", m.name, why, err, m.name)
}

// errEnded tells of a pod that is not going to be ready.
var errEnded = errors.New("it has ended")

// awaitReady waits until the pod has been ready for a while. Where it is not, why
// says what it lacks.
func (s *Supervisor) awaitReady(ctx context.Context, while time.Duration) (why string, err error) {
	for {
		status := s.Status()
		left, ready := status.readyIn(while)
		if ready && left <= 0 {
			return "", nil
		}
		why := status.whyNotReady()
		if ready {
			why = fmt.Sprintf("ready for %v less than minReadySeconds", left)
		}
		timer := time.NewTimer(left)
		if !ready {
			timer.Stop()
		}
		select {
		case <-s.turned:
		case <-timer.C:
		case <-s.done:
			if s.Wait().Container == "" && s.pod.Spec.RestartPolicy != RestartAlways {
				return "", nil // it has done its work
			}
			err = errEnded
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		timer.Stop()
		if err != nil {
			return why, err
		}
	}
}

// readyIn tells whether the pod is ready, and after how long it will have been so
// for a while.
func (s *PodStatus) readyIn(while time.Duration) (left time.Duration, ready bool) {
	for _, c := range s.Conditions {
		if c.Type == PodReady && c.Status == "True" {
			return while - time.Since(c.LastTransitionTime), true
		}
	}
	return 0, false
}
