package main

import (
	"fmt"
	"time"

	"github.com/peapod/peapod/pod"
	"golang.org/x/sys/unix"
)

// eventText is what a pod in the foreground tells of a container's end; "" is
// nothing: what the user asked for, or what a command that does its only work
// well does not say either.
func eventText(e pod.Event, containers int) string {
	end := &e.Terminated
	switch {
	case e.Stopping && unix.Signal(end.Signal) == unix.SIGKILL:
		return e.Container + " was killed"
	case e.Stopping, end.ExitCode == 0 && !e.Again && containers == 1:
		return ""
	}
	text := e.Container + " " + endText(end.ExitCode)
	switch {
	case end.Reason == pod.ReasonUnhealthy:
		text += ", ended because its " + end.Message
	case end.Reason == pod.ReasonOOMKilled:
		text += ", killed for lack of memory: " + end.Message
	case end.Message != "":
		text = fmt.Sprintf("%s cannot be started: %s", e.Container, end.Message)
	}
	switch {
	case e.Again && e.After > 0:
		text += fmt.Sprintf(", starts again in %v", e.After.Round(time.Millisecond))
	case e.Again:
		text += ", starts again"
	}
	return text
}

// readyText is what a pod in the foreground tells of a container that is probed;
// "" is nothing: its end is an event.
func readyText(r pod.Readiness, probed bool) string {
	switch {
	case r.Ready && probed:
		return r.Container + " is ready"
	case !r.Ready && r.Message != "":
		return r.Container + " is not ready: " + r.Message
	}
	return ""
}

// endText names the signal, where the status tells of one.
func endText(code int) string {
	if name := unix.SignalName(unix.Signal(code - 128)); code > 128 && name != "" {
		return fmt.Sprintf("exited with status %d (%s)", code, name)
	}
	return fmt.Sprintf("exited with status %d", code)
}

// resultText says why a pod failed; "" where it did not.
func resultText(name string, r pod.Result) string {
	if r.Container == "" {
		return ""
	}
	return fmt.Sprintf("pod %s failed: %s %s", name, r.Container, endText(r.ExitCode))
}
