package pod

import "golang.org/x/sys/unix"

// lackedMemory tells whether the kernel ended a container because of its memory
// limit: it killed one of its processes, and the container ended with that
// status, by itself or because its first process waited for the other.
func (w *worker) lackedMemory(in *instance, exitCode int) bool {
	if exitCode != 128+int(unix.SIGKILL) || w.s.killing.Err() != nil {
		return false
	}
	o, err := in.container.OOM()
	if err != nil {
		w.s.log().Error("it is not known whether the container lacked memory", "container", w.name(), "error", err)
	}
	return o.Kills > 0
}

// memoryLimit is for the message: "its memory limit is 64Mi".
func (w *worker) memoryLimit() string {
	limit := w.resolved.Container.Resources.Limits.Memory
	if limit.IsZero() {
		return "the memory limit of a group above it was met"
	}
	return "its memory limit is " + limit.String()
}
