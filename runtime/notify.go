package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The directory of the socket for sd_notify(3): in the container's own, and where
// the container sees it. These are runc's names.
const (
	notifyDir    = "notify"
	notifyFile   = "notify.sock"
	notifyTarget = "/run/notify"
)

// notified gives a container the socket of dir. Others may have the spec's lists.
func notified(spec *specs.Spec, dir string) {
	spec.Mounts = append(slices.Clip(spec.Mounts), specs.Mount{
		Destination: notifyTarget, Type: "bind", Source: dir, Options: []string{"bind", "nosuid", "noexec", "nodev", "ro"},
	})
	if spec.Process != nil {
		process := *spec.Process
		process.Env = append(slices.Clip(process.Env), "NOTIFY_SOCKET="+notifyTarget+"/"+notifyFile)
		spec.Process = &process
	}
}

// makeNotify makes the directory, and binds the socket where the process may write
// to it before anybody asks for NotifySocket.
func (c *Container) makeNotify(bind bool) (err error) {
	if err := os.Mkdir(filepath.Join(c.dir, notifyDir), 0o755); err != nil {
		return err
	}
	if bind {
		c.notify, err = c.bindNotify()
	}
	return err
}

func (c *Container) closeNotify() {
	if c.notify != nil {
		c.notify.Close()
	}
}

// NotifySocket receives what the container's process reports by sd_notify(3), for
// a container that was made with CreateOptions.Notify; nil for others. Run has bound
// it, so that nothing is missed; before Start it is this call that does. The caller
// closes it.
func (c *Container) NotifySocket() (*net.UnixConn, error) {
	if conn := c.notify; conn != nil {
		c.notify = nil
		return conn, nil
	}
	conn, err := c.bindNotify()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return conn, wrap("listen to", c.ID(), err)
}

// bindNotify binds the socket, by a descriptor of its directory: the whole path may
// be longer than addresses are (unix(7)). Everybody inside may write to it.
func (c *Container) bindNotify() (*net.UnixConn, error) {
	dir, err := os.Open(filepath.Join(c.dir, notifyDir))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	path := fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), notifyFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a start that was killed
		return nil, err
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("the socket for notifications: %w", err)
	}
	if err := unix.Fchmodat(int(dir.Fd()), notifyFile, 0o777, 0); err != nil {
		conn.Close()
		return nil, fmt.Errorf("the socket for notifications: %w", err)
	}
	return conn, nil
}
