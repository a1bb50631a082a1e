package pod

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// maxConfig is how much of a config.json is read; real ones have some KiB.
const maxConfig = 4 << 20

// bundleConfig is what we take from config.json. Decoding a whole specs.Spec
// would take several times as long.
type bundleConfig struct {
	Version string         `json:"ociVersion"`
	Root    *specs.Root    `json:"root"`
	Process *specs.Process `json:"process"`
}

// readBundle takes the defaults from config.json where dir is a bundle. An
// unpacked root may have a file of that name for reasons of its own: a bundle's
// has an ociVersion.
//
// What looks like a bundle may be an unpacked root that somebody else made.
// Hence nothing is followed out of dir: else its config.json could make the
// host's root the container's.
func (im *Image) readBundle(dir string) error {
	inside, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("image: %w", err)
	}
	defer inside.Close()
	data, err := readConfig(inside)
	if err != nil {
		return fmt.Errorf("image: %s: %w", filepath.Join(dir, "config.json"), err)
	}
	if data == nil {
		return nil
	}
	var config bundleConfig
	if err := json.Unmarshal(data, &config); err != nil || config.Version == "" {
		if err == nil {
			err = errors.New("ociVersion is missing")
		}
		if info, statErr := inside.Stat("rootfs"); statErr == nil && info.IsDir() {
			return fmt.Errorf("image: %s is not the config.json of an OCI bundle: %w", filepath.Join(dir, "config.json"), err)
		}
		return nil
	}
	root := "rootfs"
	if config.Root != nil && config.Root.Path != "" {
		root = config.Root.Path
	}
	if filepath.IsAbs(root) {
		if root, err = filepath.Rel(dir, root); err != nil {
			return fmt.Errorf("image: the root of the bundle %s: %w", dir, err)
		}
	}
	if info, err := inside.Stat(root); err != nil {
		return fmt.Errorf("image: the root that config.json names has to be a directory inside the bundle %s: %w", dir, err)
	} else if !info.IsDir() {
		return fmt.Errorf("image: the root that config.json names, %s, is not a directory", filepath.Join(dir, root))
	}
	im.Root, im.Bundle = filepath.Join(dir, root), dir
	if config.Process != nil {
		im.Process = config.Process
	}
	return nil
}

// readConfig returns the content of config.json, nil when there is no such file.
func readConfig(dir *os.Root) ([]byte, error) {
	// O_NONBLOCK: it may be a fifo, which nobody writes to.
	f, err := dir.OpenFile("config.json", os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrPermission) {
		return nil, err
	}
	if err != nil {
		return nil, nil // absent, or a link that leads out: no bundle
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, maxConfig))
}
