package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/runtime"
	"golang.org/x/sys/unix"
)

// loadBundle reads the config.json of a bundle.
func (p *peapod) loadBundle(dir string) (*specs.Spec, error) {
	spec, err := runtime.LoadSpecNoting(dir, func(e error) { p.log.Warn(e.Error()) })
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil, noBundle(dir, err)
	}
	return spec, err
}

// noBundle says what is wrong with the path of a bundle.
func noBundle(dir string, cause error) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && exists(dir):
		return fmt.Errorf("bundle %s: is a symbolic link to what does not exist", dir)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("bundle %s: no such directory%s", dir, nearFile(strings.TrimRight(dir, "/"), os.DirEntry.IsDir))
	case err == nil && !info.IsDir() && filepath.Base(dir) == "config.json":
		return fmt.Errorf("bundle %s: is a file: give the directory that it is in (--bundle %s)", dir, filepath.Dir(dir))
	case err == nil && !info.IsDir():
		return fmt.Errorf("bundle %s: is a file: give a directory with a config.json and an unpacked root%s", dir, podHint(dir))
	case err == nil && !exists(filepath.Join(dir, "config.json")):
		return fmt.Errorf("bundle %s: there is no config.json in it: give a bundle's directory (--bundle), or begin one there (peapod spec)", dir)
	}
	return cause
}

// podHint is for those who give run what pod run takes.
func podHint(file string) string {
	switch filepath.Ext(file) {
	case ".json", ".yaml", ".yml":
		return fmt.Sprintf("; a pod is run by peapod pod run %s", file)
	}
	return ""
}
