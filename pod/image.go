package pod

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const (
	builtinPrefix = "builtin:"

	// BuiltinDemo is the image that every peapod binary has in itself.
	BuiltinDemo = builtinPrefix + "demo"

	// BuiltinBinary is where the peapod binary is in the builtin image. It is
	// the only file in it.
	BuiltinBinary = "/bin/peapod"
)

// Image is what a container's root is made of, and what it runs by default.
type Image struct {
	// Name as it stands in the spec.
	Name string
	// Root is the absolute path of the unpacked root; "" for BuiltinDemo.
	Root string
	// Bundle is the absolute path of the OCI bundle that Root belongs to; ""
	// when the image is an unpacked root only.
	Bundle string
	// Process has the bundle's args, env, cwd and user; never nil.
	Process *specs.Process
}

// Builtin reports whether the image is the peapod binary itself.
func (im *Image) Builtin() bool { return im.Root == "" }

// Image finds an image by its name in a spec, which is one of
//
//   - the path of a directory with an unpacked root file system,
//   - the path of an OCI bundle: a directory with config.json and, inside of
//     it, the root that this names. Of config.json args, env, cwd and user are
//     taken, as defaults for what a container's spec does not say, nothing else,
//   - builtin:demo.
//
// Paths are relative to Pod.Dir. Nothing is opened for longer than the call.
func (p *Pod) Image(name string) (*Image, error) {
	if builtin, ok := strings.CutPrefix(name, builtinPrefix); ok {
		if name != BuiltinDemo {
			return nil, fmt.Errorf("there is no builtin image %q; use %s", builtin, BuiltinDemo)
		}
		return &Image{Name: name, Process: &specs.Process{Args: []string{BuiltinBinary, "demo"}, Cwd: "/"}}, nil
	}
	dir, err := p.absolute(name)
	if err != nil {
		return nil, err
	}
	if err := checkDirectory(name, dir); err != nil {
		return nil, err
	}
	im := &Image{Name: name, Root: dir, Process: &specs.Process{}}
	if err := im.readBundle(dir); err != nil {
		return nil, err
	}
	if empty, err := isEmpty(im.Root); err != nil {
		return nil, fmt.Errorf("image: %w", err)
	} else if empty {
		return nil, fmt.Errorf("image %s is an empty directory; unpack a root file system into it", im.Root)
	}
	return im, nil
}

func checkDirectory(name, dir string) error {
	switch info, err := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist) && !strings.HasPrefix(name, "/") && !strings.HasPrefix(name, "."):
		return explain(err, "no such image: there is no directory %s. Images are directories with an unpacked root, nothing is pulled from a registry", dir)
	case errors.Is(err, fs.ErrNotExist):
		return explain(err, "no such image: there is no directory %s", dir)
	case err != nil:
		return fmt.Errorf("image: %w", err)
	case !info.IsDir():
		return fmt.Errorf("image %s is a file; unpack it into a directory and name that", dir)
	}
	return nil
}

func isEmpty(dir string) (bool, error) {
	f, err := os.Open(dir)
	if err != nil {
		return false, err
	}
	defer f.Close()
	_, err = f.Readdirnames(1)
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, err
}
