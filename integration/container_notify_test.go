package integration

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
)

// manager is a service manager that listens to sd_notify(3).
type manager struct {
	t    testing.TB
	path string
	conn *net.UnixConn
}

func newManager(t testing.TB) *manager {
	t.Helper()
	path := filepath.Join(t.TempDir(), "manager")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &manager{t, path, conn}
}

// of makes a command one of a service of the manager's.
func (m *manager) of(cmd *exec.Cmd) *exec.Cmd {
	cmd.Env = append(cmd.Environ(), "NOTIFY_SOCKET="+m.path)
	return cmd
}

// hears expects messages.
func (m *manager) hears(messages ...string) {
	m.t.Helper()
	m.conn.SetReadDeadline(time.Now().Add(testkit.Patience))
	b := make([]byte, 4096)
	for _, want := range messages {
		n, err := m.conn.Read(b)
		if got := string(b[:n]); err != nil || got != want {
			m.t.Fatalf("the manager hears %q, %v; not %q", got, err, want)
		}
	}
}

// silence: nothing more has come.
func (m *manager) silence() {
	m.t.Helper()
	m.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	b := make([]byte, 4096)
	if n, err := m.conn.Read(b); err == nil {
		m.t.Errorf("the manager hears %q too", b[:n])
	}
}

// In the foreground all that a process reports is passed on, up to its last words,
// but for pids and descriptors, which are the container's own.
func TestNotifyForeground(t *testing.T) {
	m := newManager(t)
	bundle := newBundle(t, nil, "env", "NOTIFY_SOCKET", ";", "notify", "MAINPID=1", "STATUS=warm", "READY=1", ";", "notify", "BARRIER=1", ";",
		"notify", "MAINPID=1", ";", "create", "/run/notify/x", "x", ";", "notify", "STOPPING=1")
	r := finish(t, m.of(command(t, "run", "-b", bundle, newName(t))))
	if got, want := r.ok(), lines("NOTIFY_SOCKET=/run/notify/notify.sock", "ok", "ok", "ok", "EROFS", "ok"); got != want {
		t.Errorf("the container says %q, not %q", got, want)
	}
	m.hears("STATUS=warm\nREADY=1", "STOPPING=1")
	m.silence()
}

// A user other than root, in a user namespace or not, may report too; the path of
// the state directory may be longer than addresses of sockets are.
func TestNotifyUsers(t *testing.T) {
	m := newManager(t)
	root := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	for _, change := range []func(*specs.Spec){
		func(s *specs.Spec) {},
		func(s *specs.Spec) { userNamespace(t, s); reachable(s.Root.Path) },
	} {
		bundle := newBundle(t, func(s *specs.Spec) {
			change(s)
			s.Process.User = specs.User{UID: 7, GID: 8}
		}, "notify", "READY=1")
		id := newName(t)
		if got := finish(t, m.of(command(t, "--root", root, "run", "-b", bundle, id))).ok(); got != "ok" {
			t.Errorf("the container says %q", got)
		}
		m.hears("READY=1")
	}
}

// Detached, and by start, the command ends when the process is ready, which is the
// service's main one from then on.
func TestNotifyDetached(t *testing.T) {
	m := newManager(t)
	gate := filepath.Join(t.TempDir(), "gate")
	bundle := newBundle(t, func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/at", Type: "bind", Source: filepath.Dir(gate), Options: []string{"bind", "ro"}})
	}, "notify", "STATUS=waiting", ";", "until", "/at/gate", ";", "notify", "READY=1", ";", "wait")
	id := newName(t)
	create := func() {
		finish(t, m.of(command(t, "create", "-b", bundle, id))).ok()
	}
	for _, args := range [][]string{{"run", "-d", "-b", bundle, id}, {"start", id}} {
		exec.Command("rm", "-f", gate).Run()
		if args[0] == "start" {
			create()
		}
		p := begin(t, m.of(command(t, args...)))
		m.hears("STATUS=waiting")
		select {
		case <-p.ended:
			t.Fatalf("%s has not waited", args[0])
		default:
		}
		put(t, gate, "")
		if code := p.status(); code != 0 {
			t.Fatalf("%s: status %d", args[0], code)
		}
		m.hears(fmt.Sprintf("MAINPID=%d\nREADY=1", stateOf(t, id).Pid))
		peapod(t, "delete", "-f", id).ok()
	}
	// One that ends without a word is no failure: the manager sees its end.
	bundle = newBundle(t, nil, "exit", "3")
	finish(t, m.of(command(t, "run", "-d", "-b", bundle, id))).ok()
	peapod(t, "delete", "-f", id).ok()
	create()
	finish(t, m.of(command(t, "start", id))).ok()
	m.silence()
	// Created without a manager, it has nobody to report to.
	peapod(t, "delete", "-f", id).ok()
	bundle = newBundle(t, nil, "env", "NOTIFY_SOCKET", ";", "wait")
	peapod(t, "create", "-b", bundle, id).ok()
	finish(t, m.of(command(t, "start", id))).ok()
	m.silence()
}

// An ordinary user's service is one like root's.
func TestRootlessNotify(t *testing.T) {
	m := newManager(t)
	open(t, filepath.Dir(m.path))
	if err := exec.Command("chmod", "777", m.path).Run(); err != nil {
		t.Fatal(err)
	}
	o := newOrdinary(t)
	bundle := o.bundle(nil, "notify", "READY=1")
	if got := finish(t, m.of(o.command("run", "-b", bundle, "c"))).ok(); got != "ok" {
		t.Errorf("the container says %q", got)
	}
	m.hears("READY=1")
}
