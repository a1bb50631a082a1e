package pod

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// watcher waits for changes of files and in directories (inotify(7)).
type watcher struct {
	ctx  context.Context
	fd   int // of the file
	file *os.File
}

func watch(ctx context.Context, paths ...string) (*watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	w := &watcher{ctx: ctx, fd: fd, file: os.NewFile(uintptr(fd), "inotify")}
	for _, path := range paths {
		if err := w.add(path); err != nil {
			w.close()
			return nil, err
		}
	}
	return w, nil
}

func (w *watcher) add(path string) error {
	const changes = unix.IN_MODIFY | unix.IN_MOVED_TO | unix.IN_CREATE | unix.IN_DELETE_SELF | unix.IN_CLOSE_WRITE
	if _, err := unix.InotifyAddWatch(w.fd, path, changes); err != nil {
		return fmt.Errorf("watch %s: %w", path, err)
	}
	return nil
}

func (w *watcher) close() { w.file.Close() }

// wait returns when something has changed, or after a while: the end of a lock
// is no event of a directory.
func (w *watcher) wait(while time.Duration) error {
	w.file.SetReadDeadline(time.Now().Add(while))
	stop := context.AfterFunc(w.ctx, func() { w.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var events [4096]byte
	_, err := w.file.Read(events[:])
	switch {
	case w.ctx.Err() != nil:
		return context.Cause(w.ctx)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, io.EOF):
		return nil
	}
	return err
}
