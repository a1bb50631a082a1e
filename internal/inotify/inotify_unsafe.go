// Package inotify tells what changes in directories of directories, as the
// state of pods and services is kept: a directory of entries, each of which is
// a directory of files (inotify(7)).
//
// Nobody has to be woken up while nothing changes, and a process that dies is
// seen too: the kernel closes its files, and the close of a file that could be
// written is an event.
package inotify

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Change is something that has changed.
type Change struct {
	// Dir is one of the directories that are watched.
	Dir string
	// Entry is the name of the directory in Dir that has come, gone or
	// changed. "" is any: events were lost, or Dir itself was replaced.
	Entry string
	// File is the name of the file in Entry that was replaced, made, or
	// closed by somebody who could write it. "" is any.
	File string
}

// Watcher watches directories.
type Watcher struct {
	file *os.File

	mu   sync.Mutex
	dirs []string
	what map[int32]Change // by watch descriptor; File is ""
	ids  map[Change]int32
}

const (
	topEvents   = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_ONLYDIR
	entryEvents = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_CLOSE_WRITE | unix.IN_DELETE | unix.IN_ONLYDIR
)

// Watch begins to watch directories and what is in them. They have to be there.
// What is in them already is not reported: look at it after Watch has returned.
func Watch(dirs ...string) (*Watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify_init1: %w", explain(err))
	}
	w := &Watcher{file: os.NewFile(uintptr(fd), "inotify"), dirs: dirs, what: map[int32]Change{}, ids: map[Change]int32{}}
	for _, dir := range dirs {
		if err := w.top(dir); err != nil {
			w.Close()
			return nil, err
		}
	}
	return w, nil
}

// Add watches one more directory, which has to be there.
func (w *Watcher) Add(dir string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dirs = append(w.dirs, dir)
	return w.top(dir)
}

// explain says what to do about the limits.
func explain(err error) error {
	switch err {
	case unix.ENOSPC:
		return fmt.Errorf("%w: too many watches: raise fs.inotify.max_user_watches (sysctl)", err)
	case unix.EMFILE:
		return fmt.Errorf("%w: too many of them: raise fs.inotify.max_user_instances (sysctl)", err)
	}
	return err
}

// Close ends the watching, also for who is in Next.
func (w *Watcher) Close() error { return w.file.Close() }

// top watches one of the directories and its entries.
func (w *Watcher) top(dir string) error {
	if err := w.add(Change{Dir: dir}, topEvents); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := w.entry(dir, e.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

// entry watches an entry; it may have gone meanwhile.
func (w *Watcher) entry(dir, name string) error {
	err := w.add(Change{Dir: dir, Entry: name}, entryEvents)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	return err
}

func (w *Watcher) add(c Change, events uint32) error {
	path := filepath.Join(c.Dir, c.Entry)
	raw, err := w.file.SyscallConn()
	if err != nil {
		return err
	}
	var id int
	if e := raw.Control(func(fd uintptr) { id, err = unix.InotifyAddWatch(int(fd), path, events) }); e != nil {
		return os.ErrClosed
	}
	if err != nil {
		return fmt.Errorf("watch %s: %w", path, explain(err))
	}
	if old, ok := w.ids[c]; ok && old != int32(id) {
		delete(w.what, old) // a directory of this name that has gone
	}
	w.what[int32(id)], w.ids[c] = c, int32(id)
	return nil
}

// Next waits for changes and returns them, each once. The error is os.ErrClosed
// after Close. One goroutine at a time may call it.
func (w *Watcher) Next() ([]Change, error) {
	var list changes
	for len(list) == 0 {
		var buffer [16 << 10]byte
		n, err := w.file.Read(buffer[:])
		if err != nil {
			return nil, err
		}
		if err := w.events(buffer[:n], &list); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// events adds what the kernel tells.
func (w *Watcher) events(data []byte, list *changes) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(data) >= unix.SizeofInotifyEvent {
		event := (*unix.InotifyEvent)(unsafe.Pointer(&data[0]))
		size := unix.SizeofInotifyEvent + int(event.Len)
		name := unix.ByteSliceToString(data[unix.SizeofInotifyEvent:size])
		if err := w.event(event.Wd, event.Mask, name, list); err != nil {
			return err
		}
		data = data[size:]
	}
	return nil
}

// event adds what an event tells.
func (w *Watcher) event(id int32, mask uint32, name string, list *changes) error {
	if mask&unix.IN_Q_OVERFLOW != 0 {
		for _, dir := range w.dirs {
			if err := w.top(dir); err != nil {
				return err
			}
			list.add(Change{Dir: dir})
		}
		return nil
	}
	c, ok := w.what[id]
	switch {
	case !ok: // of a watch that has gone
	case mask&unix.IN_IGNORED != 0:
		delete(w.what, id)
		if w.ids[c] == id {
			delete(w.ids, c)
		}
	case c.Entry != "":
		c.File = name
		list.add(c)
	default:
		c.Entry = name
		list.add(c)
		// What is in it by now is seen by who looks at it behind this.
		if mask&unix.IN_ISDIR != 0 && mask&(unix.IN_CREATE|unix.IN_MOVED_TO) != 0 {
			return w.entry(c.Dir, name)
		}
	}
	return nil
}

// changes are few at a time.
type changes []Change

func (l *changes) add(c Change) {
	for _, have := range *l {
		if have == c {
			return
		}
	}
	*l = append(*l, c)
}
