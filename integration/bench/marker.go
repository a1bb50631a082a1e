package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// marker is how the containers of a pod tell that their process runs: each
// writes one line to a FIFO in a volume. The time is taken where it is read,
// so that the containers need no clock.
type marker struct {
	dir string
	fd  int
}

func newMarker(dir string) (*marker, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(path, 0o666); err != nil {
		return nil, fmt.Errorf("make %s: %w", path, err)
	}
	// Open for both, so that there is no end of file when a writer closes.
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return &marker{dir, fd}, nil
}

func (m *marker) close() { unix.Close(m.fd) }

// await returns when n lines have come. It fails when that takes too long, or
// when process, a pidfd or -1, ends first and done reports that as a failure.
func (m *marker) await(n int, process int, done func() error) error {
	buf := make([]byte, 64)
	deadline := time.Now().Add(time.Minute)
	for n > 0 {
		fds := []unix.PollFd{{Fd: int32(m.fd), Events: unix.POLLIN}, {Fd: int32(process), Events: unix.POLLIN}}
		ready, err := unix.Poll(fds, int(time.Until(deadline).Milliseconds()))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("wait for the containers: %w", err)
		case ready == 0:
			return fmt.Errorf("%d containers have not told within a minute that they run", n)
		}
		if fds[0].Revents != 0 {
			got, err := unix.Read(m.fd, buf)
			if err != nil {
				return fmt.Errorf("read the containers' marker: %w", err)
			}
			for _, c := range buf[:got] {
				if c == '\n' {
					n--
				}
			}
		} else if fds[1].Revents != 0 {
			process = -1 // poll ignores it from now on
			if err := done(); err != nil {
				return err
			}
		}
	}
	return nil
}
