package pod

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/cgroups"
)

// Detached are the pods of a manifest that a process of its own is to run.
type Detached struct {
	// File is the manifest's name, for errors and relative paths, and Data
	// its content.
	File string
	Data []byte
	// Options: Output is not used, and Keep is always so.
	Options Options
}

// request is what the supervisor's process reads from descriptor 3.
type request struct {
	File    string
	Data    []byte
	Root    string
	DataDir string
	Name    string
	Env     []string
	Args    map[string][]string
	Builtin string
	Network string
	Publish []Port
	Ranges  []netip.Prefix
	// Again is for pods that have ended and are registered still.
	Again bool
}

// reply is what it writes to descriptor 4 when the pod runs, or cannot.
type reply struct {
	Names    []string `json:"names,omitempty"`
	Addrs    []string `json:"addrs,omitempty"`
	Error    string   `json:"error,omitempty"`
	ExitCode int      `json:"exitCode,omitempty"`
}

// remoteError is an error of the supervisor's process.
type remoteError struct {
	text string
	code int
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) ExitCode() int { return e.code }

// Detach starts a supervisor of its own for the pods of a manifest and returns
// the pods' names and host addresses once all of their containers run. command is
// a program that calls Supervise, with its arguments.
func Detach(ctx context.Context, d *Detached, command ...string) (names, addrs []string, err error) {
	o := &d.Options
	return detach(ctx, &request{
		File: d.File, Data: d.Data, Root: o.Store.root(), DataDir: o.Store.dataDir(),
		Name: o.Name, Env: o.Env, Args: o.Args, Builtin: o.Builtin, Network: o.Network, Publish: o.Publish,
		Ranges: o.Store.ServiceRanges,
	}, command)
}

// detach starts a supervisor and hands the request to it.
func detach(ctx context.Context, r *request, command []string) (names, addrs []string, err error) {
	in, out := make([]*os.File, 2), make([]*os.File, 2)
	for _, pair := range [][]*os.File{in, out} {
		if pair[0], pair[1], err = os.Pipe(); err != nil {
			return nil, nil, err
		}
		defer pair[0].Close()
		defer pair[1].Close()
	}
	if _, err := cgroups.StepAside(); err != nil { // where it would be in the supervisor's way
		return nil, nil, err
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.ExtraFiles = []*os.File{in[0], out[1]}
	// It is to survive the terminal and this process.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("start the supervisor: %w", err)
	}
	in[0].Close()
	out[1].Close()
	stop := context.AfterFunc(ctx, func() { cmd.Process.Signal(unix.SIGTERM) })
	defer stop()
	err = json.NewEncoder(in[1]).Encode(r)
	in[1].Close()
	var answer reply
	if err == nil {
		err = json.NewDecoder(out[0]).Decode(&answer)
	}
	switch {
	case err != nil:
		cmd.Process.Kill()
		cmd.Wait()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, nil, fmt.Errorf("the supervisor ended before the pod ran: %w", err)
	case answer.Error != "":
		cmd.Wait()
		return nil, nil, &remoteError{answer.Error, answer.ExitCode}
	}
	go cmd.Wait() // in a program that lives longer than the pod
	return answer.Names, answer.Addrs, nil
}

// Supervise runs the pods that Detach asks for, in a process of its own, until
// their end, and returns the process's exit status, that of the first pod that
// failed. SIGTERM stops the pods.
func Supervise() int {
	in, out := os.NewFile(3, "request"), os.NewFile(4, "reply")
	if in == nil || out == nil {
		fmt.Fprintln(os.Stderr, "this is started by peapod pod run --detach only")
		return 2
	}
	closeInherited(5)
	unix.CloseOnExec(3)
	unix.CloseOnExec(4)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT)
	// Caught, not ignored: that would be inherited by the containers.
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP)

	g, err := startDetached(in)
	in.Close()
	if err != nil {
		json.NewEncoder(out).Encode(reply{Error: err.Error(), ExitCode: ExitCode(err)})
		return 1
	}
	err = json.NewEncoder(out).Encode(reply{Names: g.Names(), Addrs: g.Addrs()})
	out.Close()
	if err != nil {
		g.Stop(0) // nobody waits for the pods any more
	}
	forgetTerminal()
	forgetStart()
	for {
		select {
		case <-signals:
			g.Stop(-1)
		case <-g.Done():
			return g.Wait().ExitCode
		}
	}
}

func startDetached(in io.Reader) (*Group, error) {
	var r request
	if err := json.NewDecoder(in).Decode(&r); err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	m, err := ParseManifest(r.File, r.Data)
	if err != nil {
		return nil, err
	}
	if r.File, err = filepath.Abs(r.File); err != nil { // later this process is elsewhere
		return nil, err
	}
	o := &Options{
		Store: Store{Root: r.Root, Data: r.DataDir, ServiceRanges: r.Ranges}, Name: r.Name, Env: r.Env, Args: r.Args,
		Builtin: r.Builtin, Network: r.Network, Publish: r.Publish, Keep: true, ownLog: true, origin: &r,
	}
	if r.Again {
		m = m.renamed(r.Name)
		o.Name, o.again = "", true
		m, o.Args = o.Store.remaining(m, &r)
	}
	return StartManifest(context.Background(), m, o)
}

// closeInherited closes the descriptors from first on that this process was
// left by its caller, a lock or a pipe of a script: Go's own are all
// close-on-exec.
func closeInherited(first int) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd < first {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			unix.Close(fd)
		}
	}
}

// forgetTerminal gives up the descriptors of whoever started the pod.
func forgetTerminal() {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer null.Close()
	for fd := range 3 {
		unix.Dup3(int(null.Fd()), fd, 0)
	}
	unix.Chdir("/")
}
