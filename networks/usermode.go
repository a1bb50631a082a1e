package networks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A network in user mode is a program that copies between a tap interface in the
// namespace and sockets of its own on the host. It takes no privilege there, and
// nothing of it is left when it ends: it does with its parent.

// userMode is such a program that runs.
type userMode struct {
	cmd    *exec.Cmd
	ended  chan struct{}
	said   *tail
	others []*os.File // that it has for as long as it is to run
}

// How long the program may take until there is a way out.
const userModeReady = 10 * time.Second

// tunDevice is what it makes the interface with.
const tunDevice = "/dev/net/tun"

// attachUserMode starts the program, and returns once the namespace has a way out.
func attachUserMode(ctx context.Context, o *Options) (*Attachment, error) {
	a := &Attachment{Network: o.Network, pod: o.Pod}
	if _, err := exec.LookPath(string(o.Network.Mode)); err != nil {
		return nil, a.failed(*o, fmt.Errorf("%w: %w: install it (pasta is in package passt), or choose another network", ErrUnsupported, err))
	}
	// The program finds the namespaces by a process that is there meanwhile.
	pid, release, err := o.Hold(ctx, o.Netns)
	if err != nil {
		return nil, a.failed(*o, err)
	}
	defer release()
	u, err := startUserMode(o, pid)
	if err == nil {
		a.user = u
		if err = u.await(ctx, o, a); err != nil {
			u.stop()
		}
	}
	if err != nil {
		return nil, a.failed(*o, err)
	}
	return a, nil
}

func startUserMode(o *Options, pid int) (*userMode, error) {
	tun, err := os.OpenFile(tunDevice, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %s, by which %s makes the pod's interface, cannot be opened: %v; its mode is 0666 on most hosts (chmod), --network none does without",
			ErrUnsupported, tunDevice, o.Network.Mode, err)
	}
	tun.Close()
	u := &userMode{ended: make(chan struct{}), said: &tail{}}
	u.cmd = exec.Command(string(o.Network.Mode), pastaArgs(o, pid)...)
	if o.Network.Mode == Slirp {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		// It ends when nobody has the other end any more.
		defer r.Close()
		u.others = []*os.File{w}
		u.cmd = exec.Command(string(o.Network.Mode), slirpArgs(o, pid)...)
		u.cmd.ExtraFiles = []*os.File{r}
	}
	u.cmd.Stdout, u.cmd.Stderr = u.said, u.said
	u.cmd.WaitDelay = time.Second
	u.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := u.cmd.Start(); err != nil {
		u.close()
		return nil, err
	}
	go func() {
		u.cmd.Wait()
		close(u.ended)
	}()
	return u, nil
}

func nsPath(pid int, kind string) string { return fmt.Sprintf("/proc/%d/ns/%s", pid, kind) }

// pastaArgs: no port of the pod or of the host is forwarded by it, and the
// gateway's address is not the host's loopback, where others trust one another.
func pastaArgs(o *Options, pid int) []string {
	args := []string{"--foreground", "--quiet", "--config-net", "--no-map-gw", "-t", "none", "-u", "none", "-T", "none", "-U", "none"}
	if o.Userns != nil {
		args = append(args, "--userns", nsPath(pid, "user"))
	} else {
		// As root it would become nobody, who may not open the namespace.
		args = append(args, "--netns-only", "--runas", "0:0")
	}
	return append(args, "--netns", nsPath(pid, "net"))
}

func slirpArgs(o *Options, pid int) []string {
	args := []string{"--configure", "--mtu=65520", "--disable-host-loopback", "--exit-fd=3", "--netns-type=path"}
	if o.Userns != nil {
		args = append(args, "--userns-path="+nsPath(pid, "user"))
	}
	return append(args, nsPath(pid, "net"), inside)
}

// await waits until the namespace has a way out, and notes its addresses.
func (u *userMode) await(ctx context.Context, o *Options, a *Attachment) error {
	ctx, cancel := context.WithTimeoutCause(ctx, userModeReady, errors.New("it made no way out in time"))
	defer cancel()
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		if a.Addresses = o.wayOut(); len(a.Addresses) > 0 {
			return nil
		}
		select {
		case <-u.ended:
			return fmt.Errorf("%s ended: %s", o.Network.Mode, u.said)
		case <-ctx.Done():
			return fmt.Errorf("%s: %w: %s", o.Network.Mode, context.Cause(ctx), u.said)
		case <-time.After(wait):
		}
	}
}

// wayOut are the addresses from which the namespace reaches the world: no packet
// is sent to find them.
func (o *Options) wayOut() (list []netip.Prefix) {
	for _, to := range []unix.Sockaddr{
		&unix.SockaddrInet4{Port: 53, Addr: [4]byte{1, 1, 1, 1}},
		&unix.SockaddrInet6{Port: 53, Addr: [16]byte{0x26, 0x06, 0x47, 0, 0x47, 14: 0x11, 15: 0x11}},
	} {
		domain := unix.AF_INET
		if _, ok := to.(*unix.SockaddrInet6); ok {
			domain = unix.AF_INET6
		}
		fds, err := o.Sockets(o.Netns, domain, unix.SOCK_DGRAM, 1)
		if err != nil {
			continue
		}
		if unix.Connect(fds[0], to) == nil {
			switch sa, _ := unix.Getsockname(fds[0]); sa := sa.(type) {
			case *unix.SockaddrInet4:
				ip := netip.AddrFrom4(sa.Addr)
				list = append(list, netip.PrefixFrom(ip, ip.BitLen()))
			case *unix.SockaddrInet6:
				ip := netip.AddrFrom16(sa.Addr)
				list = append(list, netip.PrefixFrom(ip, ip.BitLen()))
			}
		}
		unix.Close(fds[0])
	}
	return list
}

// stop ends the program.
func (u *userMode) stop() {
	u.cmd.Process.Kill()
	<-u.ended
	u.close()
}

func (u *userMode) close() {
	for _, f := range u.others {
		f.Close()
	}
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const maxTail = 1000

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	t.text = t.text[max(0, len(t.text)-maxTail):]
	return len(b), nil
}

// String is the last of it, in one line.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if text := bytes.Join(bytes.Fields(t.text), []byte(" ")); len(text) > 0 {
		return strconv.Quote(string(text))
	}
	return "it said nothing"
}

// attachUserAuto is Auto for an ordinary user: what is installed, or nothing.
func attachUserAuto(ctx context.Context, o Options) *Attachment {
	var errs []error
	installed := 0
	for _, mode := range []Mode{Pasta, Slirp} {
		if _, err := exec.LookPath(string(mode)); err != nil {
			continue
		}
		installed++
		o.Network = Spec{Mode: mode}
		a, err := attachUserMode(ctx, &o)
		if err == nil {
			return a
		}
		errs = append(errs, err)
	}
	if installed == 0 {
		errs = append(errs, &worded{"neither pasta (package passt) nor slirp4netns is installed", errors.Join(ErrUnsupported, exec.ErrNotFound)})
	}
	return &Attachment{Network: Spec{Mode: None}, Lacking: errors.Join(errs...)}
}
