package pod

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/namespaces"
	"github.com/peapod/peapod/runtime"
)

// ask asks once. The error tells that it could not be done, which says nothing
// about the container.
func (p *probing) ask(ctx context.Context, probe *Probe) (outcome, error) {
	timeout := probe.timeout()
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %v", timeout))
	defer cancel()
	switch {
	case probe.Exec != nil:
		return p.exec(ctx, probe.Exec.Command)
	case probe.HTTPGet != nil:
		return p.httpGet(ctx, probe.HTTPGet)
	case probe.GRPC != nil:
		return p.grpc(ctx, probe.GRPC)
	default:
		return p.tcpSocket(ctx, probe.TCPSocket)
	}
}

// tcpSocket is well when the connection is made.
func (p *probing) tcpSocket(ctx context.Context, a *TCPSocketAction) (outcome, error) {
	c, addr, err := p.dial(ctx, a.Host, a.Port)
	if err != nil {
		return bad("connect to %s: %v", addr, reason(ctx, err)), nil
	}
	c.Close()
	return outcome{ok: true}, nil
}

// dial connects from inside of the pod.
func (p *probing) dial(ctx context.Context, host string, port PortRef) (net.Conn, netip.AddrPort, error) {
	number, _ := p.w.resolved.Container.port(port, "TCP")
	addr, err := netip.ParseAddr(host)
	if err != nil { // "" and localhost: Validate takes no other
		addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	to := netip.AddrPortFrom(addr, uint16(number))
	c, err := namespaces.Dial(ctx, p.w.s.netns, "tcp", to)
	return c, to, err
}

func bad(format string, args ...any) outcome { return outcome{why: fmt.Sprintf(format, args...)} }

// reason is what an error comes down to: that of the context where that has
// ended, the system's error without its operations otherwise.
func reason(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// That of the connection, which comes a moment before the context's.
		<-ctx.Done()
		return context.Cause(ctx)
	}
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// maxProbeOutput is how much of what a command writes is told when it fails.
const maxProbeOutput = 512

// exec executes a command in the container. What of it has not ended in time is
// killed, with all that it started.
func (p *probing) exec(ctx context.Context, command []string) (outcome, error) {
	r, out, err := os.Pipe()
	if err != nil {
		return outcome{}, err
	}
	output := newTail(r)
	defer output.close()
	process := *p.in.container.Spec().Process
	process.Args, process.Terminal, process.ConsoleSize = command, false, nil
	run, err := p.in.container.Exec(ctx, &runtime.ExecOptions{Process: &process, Stdout: out, Stderr: out, KillWithParent: true})
	out.Close()
	var refused *runtime.CommandError
	switch {
	case errors.As(err, &refused):
		return bad("%v", refused), nil // what a shell gives the status 127 for
	case err != nil && ctx.Err() != nil:
		return bad("exec %q: %v", command[0], context.Cause(ctx)), nil
	case err != nil:
		return outcome{}, err
	}
	status, err := run.Wait(ctx)
	if err != nil {
		run.SignalGroup(unix.SIGKILL)
		run.Wait(context.WithoutCancel(ctx))
		return bad("exec %q: %v", command[0], reason(ctx, err)), nil
	}
	if code := status.ExitCode(); code != 0 {
		return bad("exec %q: %v%s", command[0], status, output.text()), nil
	}
	return outcome{ok: true}, nil
}

// tail reads what a command writes, which nobody else does, and keeps the
// beginning of it.
type tail struct {
	r    *os.File
	kept []byte
	done chan struct{}
}

func newTail(r *os.File) *tail {
	t := &tail{r: r, done: make(chan struct{})}
	go t.read()
	return t
}

func (t *tail) read() {
	defer close(t.done)
	var b [1024]byte
	for {
		n, err := t.r.Read(b[:])
		t.kept = append(t.kept, b[:min(n, maxProbeOutput-len(t.kept))]...)
		if err != nil {
			return
		}
	}
}

// text is the output for the end of an error. A process that was left behind
// may hold the pipe open; it is not waited for.
func (t *tail) text() string {
	t.r.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	<-t.done
	text := strings.Join(strings.Fields(strings.ToValidUTF8(string(bytes.TrimSpace(t.kept)), "?")), " ")
	if text == "" {
		return ""
	}
	return ": " + text
}

func (t *tail) close() {
	t.r.SetReadDeadline(time.Unix(1, 0))
	<-t.done
	t.r.Close()
}
