package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// cache is a directory with what was downloaded or made from that. An entry is
// a directory that is whole when it has its name.
type cache struct {
	dir string
	mu  sync.Mutex // one download at a time; other processes are kept out by a lock
}

func newCache() (*cache, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("find the cache for kernels: %w; set XDG_CACHE_HOME", err)
	}
	c := &cache{dir: filepath.Join(base, "peapod", "vm")}
	return c, os.MkdirAll(c.dir, 0o755)
}

// entry returns the path of an entry, which fill makes when it is not there.
func (c *cache) entry(name string, fill func(dir string) error) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	path := filepath.Join(c.dir, name)
	lock, err := os.OpenFile(filepath.Join(c.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	part := path + ".part"
	if err := os.RemoveAll(part); err != nil {
		return "", err
	}
	if err := os.Mkdir(part, 0o755); err != nil {
		return "", err
	}
	if err := fill(part); err != nil {
		os.RemoveAll(part)
		return "", err
	}
	return path, os.Rename(part, path)
}
