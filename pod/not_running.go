package pod

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// notRunning says why a container has no process: how it ended, and whether it starts
// again. errors.Is finds ErrNotRunning.
func (r *Record) notRunning(c *ContainerStatus, now time.Time) error {
	pod := r.Pod.Metadata.Name
	text := fmt.Sprintf("container %s of pod %s is not running", c.Name, pod)
	last := c.State.Terminated
	if last == nil {
		last = c.LastState.Terminated
	}
	switch {
	case last != nil:
		text += ": " + last.how(now)
	case r.Status.Phase == PodPending || r.Status.Phase == PodRunning:
		text += " yet: it is being started"
	}
	switch waiting := c.State.Waiting; {
	case r.Status.finished():
		text += "; the pod has ended"
	case waiting != nil && waiting.Until.After(now):
		text += fmt.Sprintf("; after %s it starts again in %v (%s)", starts(c.RestartCount+1), waiting.Until.Sub(now).Round(time.Second), waiting.Reason)
	case waiting != nil && last != nil:
		text += "; it is about to start again"
	case c.State.Terminated != nil && r.Pod.Spec.RestartPolicy != RestartAlways:
		text += fmt.Sprintf("; it does not start again (restartPolicy: %s)", r.Pod.Spec.RestartPolicy)
	}
	if last != nil {
		text += fmt.Sprintf("; see peapod pod logs -c %s %s", c.Name, pod)
	}
	return explain(ErrNotRunning, "%s", text)
}

func starts(n int) string {
	if n == 1 {
		return "one start"
	}
	return fmt.Sprintf("%d starts", n)
}

// how a container ended: "it exited with status 137 (SIGKILL, OOMKilled: …) 5s ago".
func (t *StateTerminated) how(now time.Time) string {
	if t.Reason == "ContainerCannotRun" {
		return "it cannot be started: " + t.Message
	}
	text := fmt.Sprintf("it exited with status %d", t.ExitCode)
	var notes string
	if name := unix.SignalName(unix.Signal(t.Signal)); name != "" {
		notes = name
	}
	if t.Reason != "" && t.Reason != "Error" && t.Reason != "Completed" {
		notes = addNote(notes, t.Reason)
	}
	if t.Message != "" {
		notes = addNote(notes, t.Message)
	}
	if notes != "" {
		text += " (" + notes + ")"
	}
	if !t.FinishedAt.IsZero() {
		text += fmt.Sprintf(" %v ago", now.Sub(t.FinishedAt).Round(time.Second))
	}
	return text
}

func addNote(a, b string) string {
	if a == "" {
		return b
	}
	return a + ", " + b
}
