package cgroups

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// slice is for how long, in ms, the kernel is waited for before ctx is looked
// at again. What is waited for wakes at once.
const slice = 20

// waitEvents waits until a group of v2 and all below it are without processes;
// the kernel tells by cgroup.events. A group that is gone is empty.
func waitEvents(ctx context.Context, dir string) error {
	return waitKey(ctx, dir, func(text string) bool { return !populated(text) }, func(cause error) error { return busy(dir, cause) })
}

// waitKey waits until the content of cgroup.events is as wanted, or the group
// gone. late makes the error when ctx ends.
func waitKey(ctx context.Context, dir string, wanted func(text string) bool, late func(cause error) error) error {
	fd, err := open(dir+"/cgroup.events", unix.O_RDONLY)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return hint(err)
	}
	defer unix.Close(fd)
	for {
		text, err := events(fd)
		if errors.Is(err, unix.ENODEV) || err == nil && wanted(text) {
			return nil
		}
		if err != nil {
			return hint(err)
		}
		if ctx.Err() != nil {
			return late(context.Cause(ctx))
		}
		// What changed between the read and here is reported too: the file
		// remembers which change its reader has seen.
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLPRI}}
		if _, err := unix.Poll(poll, slice); err != nil && err != unix.EINTR {
			return err
		}
	}
}

// events reads the file from its beginning.
func events(fd int) (string, error) {
	var buf [256]byte
	for {
		n, err := unix.Pread(fd, buf[:], 0)
		if err != unix.EINTR {
			return string(buf[:max(n, 0)]), err
		}
	}
}

// populated parses cgroup.events.
func populated(text string) bool {
	n := key(text, "populated")
	return n != "" && n != "0"
}

// busy tells who is left.
func busy(dir string, cause error) error {
	list, err := procsBelow(dir)
	if err != nil || len(list) == 0 {
		return fmt.Errorf("%w: %w", ErrBusy, cause)
	}
	return fmt.Errorf("%w: %s: %w", ErrBusy, few(list), cause)
}
