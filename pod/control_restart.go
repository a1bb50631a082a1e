package pod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// ErrNoDeployment is for callers to branch on.
var ErrNoDeployment = errors.New("no such deployment")

// Waiting says how long a change may take, and how it goes.
type Waiting struct {
	// Timeout bounds it. 0: only the deadlines of the Deployments do, and ten
	// minutes for each pod.
	Timeout time.Duration
	// Grace is how long the containers of pods that are stopped for it have to end;
	// nil is what their specs say.
	Grace *time.Duration
	// Progress gets what has been done so far, if it is not nil.
	Progress func(string)
}

// Restart restarts pods, and Deployments that are named as deployment/NAME, and
// returns when all of it is ready again. A pod is stopped as Stop does it and
// started anew with its volumes and logs. Of a Deployment new pods replace the
// earlier ones, as its strategy says.
//
// The pods' supervisors do that. They go on with it when ctx ends.
func (s *Store) Restart(ctx context.Context, names []string, w Waiting) error {
	requests := map[string]*groupRequest{}
	for _, name := range names {
		id, plain, err := s.groupOf(name)
		if err != nil {
			return err
		}
		if requests[id] == nil {
			requests[id] = w.request()
		}
		if r := requests[id]; !slices.Contains(r.Restart, plain) {
			r.Restart = append(r.Restart, plain)
		}
	}
	progress := inTurn(w.Progress)
	var list []func() error
	for id, r := range requests {
		list = append(list, func() error {
			_, err := s.askGroup(ctx, id, r, progress)
			if errors.Is(err, errNoGroup) {
				err = fmt.Errorf("%s: %w", strings.Join(r.Restart, ", "), err)
			}
			return err
		})
	}
	return sideBySide(len(list), list)
}

// request is one without anything to do.
func (w *Waiting) request() *groupRequest {
	r := &groupRequest{Timeout: w.Timeout.Seconds()}
	if w.Grace != nil {
		seconds := w.Grace.Seconds()
		r.GracePeriodSeconds = &seconds
	}
	return r
}

// SplitTarget takes a name as kubectl does: web, pod/web, deployment/web,
// deploy/web. The error tells what kind it does not know.
func SplitTarget(text string) (name string, deployment bool, err error) {
	kind, name, ok := strings.Cut(text, "/")
	if !ok {
		return text, false, nil
	}
	switch kind {
	case "pod", "pods", "po":
		return name, false, nil
	case "deployment", "deployments", "deploy", "deployment.apps", "deployments.apps":
		return name, true, nil
	}
	return "", false, fmt.Errorf("%s: there is no kind %q; write pod/%s or deployment/%s", text, kind, name, name)
}

// groupOf finds the group that is to do something with a pod or a Deployment, and
// names that as requests do.
func (s *Store) groupOf(text string) (id, plain string, err error) {
	name, deployment, err := SplitTarget(text)
	if err != nil {
		return "", "", err
	}
	if !deployment {
		id, err := s.groupOfPod(name)
		return id, name, err
	}
	pods, err := s.DeploymentPods(name)
	if err != nil {
		return "", "", err
	}
	for _, r := range pods {
		if id, err = s.groupOfPod(r.Pod.Metadata.Name); err == nil {
			return id, deploymentPrefix + name, nil
		}
	}
	if err != nil {
		return "", "", fmt.Errorf("deployment %s: %w", name, err)
	}
	return "", "", err
}

// groupOfPod finds the group of a pod, which has not ended as a whole.
func (s *Store) groupOfPod(name string) (id string, err error) {
	if _, err := s.Get(name); err != nil {
		return "", err
	}
	p, err := s.place(name)
	if err != nil {
		return "", err
	}
	mark := p.groupMark()
	if mark.ID == "" {
		return "", fmt.Errorf("pod %s: its supervisor takes no requests: a program runs it that has no other pods; stop it and run it again", name)
	}
	running, err := s.groupPlace(mark.ID).supervised()
	if err == nil && !running {
		err = errNoGroup
	}
	if err != nil {
		return "", fmt.Errorf("pod %s: %w", name, err)
	}
	return mark.ID, nil
}

// DeploymentPods are the pods of a Deployment that are registered, sorted by name.
// The error is ErrNoDeployment where there are none.
func (s *Store) DeploymentPods(name string) (list []*Record, err error) {
	all, err := s.List()
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if p, err := s.place(r.Pod.Metadata.Name); err == nil && p.groupMark().Deployment == name && name != "" {
			list = append(list, r)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("deployment %s: %w here (peapod pod ps lists pods)", name, ErrNoDeployment)
	}
	return list, nil
}

// DeploymentOf is the name of the Deployment that a pod is of; "" where it is of none.
func (s *Store) DeploymentOf(pod string) string {
	p, err := s.place(pod)
	if err != nil {
		return ""
	}
	return p.groupMark().Deployment
}

// free tells whether nobody has registered a pod of this name.
func (s *Store) free(name string) bool {
	p, err := s.place(name)
	if err != nil {
		return false
	}
	_, err = os.Stat(p.state)
	return err != nil
}
