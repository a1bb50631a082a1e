package main

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/peapod/peapod/pod"
)

func TestEventText(t *testing.T) {
	end := func(code, signal int) pod.StateTerminated { return pod.StateTerminated{ExitCode: code, Signal: signal} }
	for _, tt := range []struct {
		event      pod.Event
		containers int
		want       string
	}{
		{pod.Event{Terminated: end(3, 0)}, 1, "a exited with status 3"},
		{pod.Event{Terminated: end(0, 0)}, 1, ""},
		{pod.Event{Terminated: end(0, 0)}, 2, "a exited with status 0"},
		{pod.Event{Terminated: end(2, 0), Again: true}, 1, "a exited with status 2, starts again"},
		{pod.Event{Terminated: end(0, 0), Again: true, After: time.Second}, 1, "a exited with status 0, starts again in 1s"},
		{pod.Event{Terminated: end(137, 9)}, 1, "a exited with status 137 (SIGKILL)"},
		{pod.Event{Terminated: end(255, 0)}, 1, "a exited with status 255"},
		{pod.Event{Terminated: end(143, 15), Stopping: true}, 1, ""},
		{pod.Event{Terminated: end(137, 9), Stopping: true}, 1, "a was killed"},
		{pod.Event{Terminated: pod.StateTerminated{ExitCode: 127, Message: "why"}, Again: true, After: 4 * time.Second}, 1, "a cannot be started: why, starts again in 4s"},
		{pod.Event{Terminated: pod.StateTerminated{ExitCode: 143, Signal: 15, Reason: pod.ReasonUnhealthy, Message: "liveness probe failed 3 times: why"}, Again: true}, 1, "a exited with status 143 (SIGTERM), ended because its liveness probe failed 3 times: why, starts again"},
	} {
		tt.event.Container = "a"
		if got := eventText(tt.event, tt.containers); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.event, got, tt.want)
		}
	}
	if got := resultText("p", pod.Result{Container: "a", ExitCode: 3}); got != "pod p failed: a exited with status 3" {
		t.Errorf("%q", got)
	}
	if got := resultText("p", pod.Result{}); got != "" {
		t.Errorf("%q", got)
	}
}

func TestReadyText(t *testing.T) {
	for _, tt := range []struct {
		r      pod.Readiness
		probed bool
		want   string
	}{
		{pod.Readiness{Container: "a", Ready: true, PodReady: true}, true, "a is ready"},
		{pod.Readiness{Container: "a", Message: "readiness probe: why"}, true, "a is not ready: readiness probe: why"},
		{pod.Readiness{Container: "a"}, true, ""},
		{pod.Readiness{Container: "b", Ready: true}, false, ""},
		{pod.Readiness{}, false, ""},
	} {
		if got := readyText(tt.r, tt.probed); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.r, got, tt.want)
		}
	}
}

func TestLabels(t *testing.T) {
	a := &pod.Pod{Metadata: pod.Metadata{Name: "a"}, Spec: pod.Spec{Containers: []pod.Container{{Name: "x", ReadinessProbe: &pod.Probe{}}, {Name: "y"}}}}
	b := &pod.Pod{Metadata: pod.Metadata{Name: "b"}, Spec: pod.Spec{Containers: []pod.Container{{Name: "x"}}}}
	one, two := newLabels([]*pod.Pod{a}), newLabels([]*pod.Pod{a, b})
	if got := fmt.Sprintf("%q %q %s, %s", one.list, two.list, podsText([]string{"a"}), podsText([]string{"a", "b"})); got != `["x" "y"] ["a/x" "a/y" "b/x"] pod a, 2 pods` {
		t.Error(got)
	}
	if !one.probed("renamed", "x") || one.probed("a", "y") || !two.probed("a", "x") || two.probed("b", "x") || two.probed("c", "x") {
		t.Error("probed")
	}
}

// A note ends a line that was begun, where it was begun.
func TestNote(t *testing.T) {
	var out, errs bytes.Buffer
	w := &lineWriter{out: &out, err: &errs}
	w.note("")
	w.write(pod.Line{Text: []byte("begun"), Partial: true})
	w.note("one")
	w.write(pod.Line{Text: []byte("rest")})
	if out.String() != "begun\nrest\n" || errs.String() != "peapod: one\n" {
		t.Errorf("%q, %q", out.String(), errs.String())
	}
}
