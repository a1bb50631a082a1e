// Package runtime is the life of one container: it creates, starts, executes
// in, signals and deletes containers as the OCI runtime specification 1.3
// describes them.
//
// A container's set-up is compiled to a program of system calls (package
// internal/program) which a process of a few KiB performs: an embedder needs
// no init hook in its main, no cgo and no second binary.
//
//	r := &runtime.Runtime{}
//	c, err := r.Run(ctx, "web", &runtime.CreateOptions{Bundle: dir, Spec: spec})
//	…
//	status, err := c.Wait(ctx)
//	err = c.Delete(ctx, false)
//
// Containers are registered in a directory (Runtime.Root), so that other
// processes find them with Load and List. There is no daemon: what created a
// container reaps it, or leaves that to init.
//
// It needs Linux 5.12, and root (CAP_SYS_ADMIN and more), or a spec with a user
// namespace for an ordinary user's container. For groups of
// containers that share a network namespace use package pod.
package runtime
