package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// archive writes a cpio archive in the format that the kernel unpacks (newc,
// Documentation/driver-api/early-userspace/buffer-format.rst). Parents come
// before what is in them; hard links become files of their own.
type archive struct {
	w    *bufio.Writer
	ino  uint32
	at   int64
	made map[string]bool // directories
}

func newArchive(w io.Writer) *archive {
	return &archive{w: bufio.NewWriterSize(w, 1<<20), made: map[string]bool{".": true}}
}

// entry is what the archive has of a file.
type entry struct {
	mode     uint32 // with its type, S_IFREG
	uid, gid uint32
	rdev     uint64
	mtime    uint32
}

func (a *archive) header(name string, e entry, size int64) error {
	if size > 0xffffffff {
		return fmt.Errorf("%s is too large for a cpio archive: %d bytes", name, size)
	}
	a.ino++
	links := 1
	if e.mode&unix.S_IFMT == unix.S_IFDIR {
		links = 2
	}
	// Magic, inode, mode, uid, gid, links, mtime, size, device, rdev, length of the name, no checksum.
	n, err := fmt.Fprintf(a.w, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		a.ino, e.mode, e.uid, e.gid, links, e.mtime, size, 0, 0, unix.Major(e.rdev), unix.Minor(e.rdev), len(name)+1, 0, name)
	a.at += int64(n)
	return errors.Join(err, a.pad())
}

// pad fills up to a multiple of 4.
func (a *archive) pad() error {
	n := int(-a.at & 3)
	a.at += int64(n)
	_, err := a.w.WriteString("\x00\x00\x00"[:n])
	return err
}

// add writes an entry, and the directories above it that are not there yet.
func (a *archive) add(name string, e entry, size int64, content io.Reader) error {
	name = strings.Trim(filepath.Clean(name), "/")
	if a.made[name] {
		return nil
	}
	if err := a.dir(filepath.Dir(name)); err != nil {
		return err
	}
	if e.mode&unix.S_IFMT == unix.S_IFDIR {
		a.made[name] = true
	}
	if err := a.header(name, e, size); err != nil {
		return err
	}
	n, err := io.Copy(a.w, io.LimitReader(content, size))
	a.at += n
	if err == nil && n != size {
		err = fmt.Errorf("%s ended after %d of %d bytes", name, n, size)
	}
	return errors.Join(err, a.pad())
}

// dir adds a directory of the usual mode.
func (a *archive) dir(name string) error {
	return a.add(name, entry{mode: unix.S_IFDIR | 0o755}, 0, strings.NewReader(""))
}

// text adds a file of the host's making.
func (a *archive) text(name string, mode uint32, content string) error {
	return a.add(name, entry{mode: unix.S_IFREG | mode}, int64(len(content)), strings.NewReader(content))
}

func (a *archive) link(name, target string) error {
	return a.add(name, entry{mode: unix.S_IFLNK | 0o777}, int64(len(target)), strings.NewReader(target))
}

// file adds a file of the host's, as it is but for its owner.
func (a *archive) file(name, path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	e := entryOf(info)
	e.uid, e.gid = 0, 0
	return a.copy(name, path, e, info.Size())
}

// tree adds a directory with all that is in it, as it is.
func (a *archive) tree(name, dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		return a.copy(filepath.Join(name, rel), path, entryOf(info), info.Size())
	})
}

func entryOf(info fs.FileInfo) entry {
	s := info.Sys().(*syscall.Stat_t)
	return entry{s.Mode, s.Uid, s.Gid, s.Rdev, uint32(info.ModTime().Unix())}
}

func (a *archive) copy(name, path string, e entry, size int64) error {
	switch e.mode & unix.S_IFMT {
	case unix.S_IFREG:
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return a.add(name, e, size, f)
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		if err != nil {
			return err
		}
		return a.add(name, e, int64(len(target)), strings.NewReader(target))
	case unix.S_IFSOCK:
		return nil
	}
	return a.add(name, e, 0, strings.NewReader(""))
}

// close writes the end. The kernel takes another archive behind it.
func (a *archive) close() error {
	return errors.Join(a.header("TRAILER!!!", entry{}, 0), a.w.Flush())
}
