package runtime

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/peapod/peapod/internal/inroot"
	"golang.org/x/sys/unix"
)

// withHome gives the process a HOME where its environment has none: what the
// container's /etc/passwd says, or "/". passwd reads that file, only then.
func (id *identity) withHome(passwd func() []byte) {
	if slices.ContainsFunc(id.Env, func(e string) bool { return strings.HasPrefix(e, "HOME=") && e != "HOME=" }) {
		return
	}
	process := *id.Process // the caller's stays as it is
	process.Env = append(slices.Clone(process.Env), "HOME="+homeOf(passwd(), id.User.UID))
	id.Process = &process
}

// homeOf is the home of a user in a file as passwd(5) describes it.
func homeOf(passwd []byte, uid uint32) string {
	lines := bufio.NewScanner(bytes.NewReader(passwd))
	for lines.Scan() {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) < 6 {
			continue
		}
		if n, err := strconv.ParseUint(fields[2], 10, 32); err == nil && uint32(n) == uid && path.IsAbs(fields[5]) && !strings.ContainsRune(fields[5], 0) {
			return fields[5]
		}
	}
	return "/"
}

const passwdFile = "/etc/passwd"

// passwd reads /etc/passwd as the container will see it: from the image, or
// from what is bound there.
func (c *plan) passwd() []byte {
	for i := len(c.spec.Mounts) - 1; i >= 0; i-- {
		m := c.spec.Mounts[i]
		target := path.Join("/", m.Destination)
		rest, ok := strings.CutPrefix(passwdFile, target)
		if !ok || rest != "" && rest[0] != '/' {
			continue
		}
		if m.Type != "bind" && !slices.Contains(m.Options, "bind") && !slices.Contains(m.Options, "rbind") {
			return nil
		}
		return readIn(absolute(c.options.Bundle, m.Source), rest)
	}
	return readIn(absolute(c.options.Bundle, c.spec.Root.Path), passwdFile)
}

// readIn reads a file below a root, or the root where that is the file. What is
// no ordinary file is nothing: an image may have a FIFO there.
func readIn(root, file string) []byte {
	const most = 1 << 20
	fd, err := unix.Open(root, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	dir := os.NewFile(uintptr(fd), root)
	defer dir.Close()
	if file == "" {
		fd, err = unix.Open(root, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	} else {
		fd, err = inroot.Open(dir, file, unix.O_RDONLY|unix.O_NONBLOCK)
	}
	if err != nil {
		return nil
	}
	f := os.NewFile(uintptr(fd), file)
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return nil
	}
	return data
}
