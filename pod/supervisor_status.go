package pod

import (
	"slices"
)

// Status is what became of the pod so far.
func (s *Supervisor) Status() PodStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := s.status
	status.ContainerStatuses = append([]ContainerStatus(nil), status.ContainerStatuses...)
	return status
}

// update changes the status and tells others, once the pod has started.
func (s *Supervisor) update(change func(*PodStatus)) {
	s.turning.Lock()
	defer s.turning.Unlock()
	if s.over {
		return
	}
	for _, r := range s.change(change) {
		r.Pod = s.place.name
		s.options.Ready(r)
	}
}

// change changes the status, writes it, and returns what is to be told.
func (s *Supervisor) change(change func(*PodStatus)) (told []Readiness) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var before PodStatus
	if s.options.Ready != nil {
		before = s.status
		before.ContainerStatuses = slices.Clone(before.ContainerStatuses)
	}
	change(&s.status)
	s.status.setConditions()
	select {
	case s.turned <- struct{}{}:
	default:
	}
	if s.options.Ready != nil {
		told = s.status.changes(&before)
	}
	if !s.started {
		return told
	}
	s.saveStatus()
	return told
}

// saveStatus lets others see the status. mu is held.
func (s *Supervisor) saveStatus() {
	if err := s.status.save(s.place.statusFile()); err != nil {
		s.log().Error("the pod's status cannot be written", "error", err)
	}
	s.hub.notice(s.place.name)
}

// fail notes a container that failed for good.
func (s *Supervisor) fail(container string, code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = &Result{Container: container, ExitCode: code}
	}
}

// result needs mu.
func (s *Supervisor) result() Result {
	if s.failed != nil {
		return *s.failed
	}
	return Result{}
}
