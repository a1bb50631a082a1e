package criu

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"golang.org/x/sys/unix"
)

// peer plays criu's part.
type peer struct {
	t  *testing.T
	fd int
}

func newPeer(t *testing.T) (*Session, *peer) {
	t.Helper()
	s, theirs, err := NewSession()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(int(theirs.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	t.Cleanup(s.Close)
	return s, &peer{t, fd}
}

func (p *peer) close() { unix.Close(p.fd) }

// hears receives a request.
func (p *peer) hears() *rpc.CriuReq {
	b := make([]byte, 4096)
	n, err := unix.Read(p.fd, b)
	if err != nil {
		p.t.Error(err)
		return &rpc.CriuReq{}
	}
	req := &rpc.CriuReq{}
	if err := req.UnmarshalVT(b[:n]); err != nil {
		p.t.Error(err)
	}
	return req
}

// says sends an answer, with a descriptor unless that is -1.
func (p *peer) says(r *rpc.CriuResp, fd int) {
	data, err := r.MarshalVT()
	if err != nil {
		p.t.Error(err)
	}
	var control []byte
	if fd >= 0 {
		control = unix.UnixRights(fd)
	}
	if err := unix.Sendmsg(p.fd, data, control, nil, 0); err != nil {
		p.t.Error(err)
	}
}

func answer(t rpc.CriuReqType, success bool) *rpc.CriuResp {
	return &rpc.CriuResp{Type: &t, Success: &success}
}

func notification(script string, pid int32) *rpc.CriuResp {
	r := answer(rpc.CriuReqType_NOTIFY, true)
	r.Notify = &rpc.CriuNotify{Script: &script, Pid: &pid}
	return r
}

func TestNotifications(t *testing.T) {
	s, p := newPeer(t)
	go func() {
		defer p.close()
		if req := p.hears(); req.GetType() != rpc.CriuReqType_RESTORE || req.GetOpts().GetRoot() != "/r" {
			t.Errorf("request %v", req)
		}
		p.says(notification("setup-namespaces", 7), -1)
		if !p.hears().GetNotifySuccess() {
			t.Error("the first notification is not answered")
		}
		p.says(notification("orphan-pts-master", 0), 0)
		p.hears()
		p.says(answer(rpc.CriuReqType_RESTORE, true), -1)
	}()
	kind, root := rpc.CriuReqType_RESTORE, "/r"
	var seen []Notification
	resp, err := s.Do(&rpc.CriuReq{Type: &kind, Opts: &rpc.CriuOpts{Root: &root, ImagesDirFd: new(int32)}}, func(n Notification) error {
		seen = append(seen, n)
		return nil
	})
	if err != nil || resp.GetType() != kind {
		t.Fatalf("%v, %v", resp, err)
	}
	if len(seen) != 2 || seen[0].Script != "setup-namespaces" || seen[0].Pid != 7 || seen[0].File != nil || seen[1].File == nil {
		t.Fatalf("%+v", seen)
	}
	flags, err := unix.FcntlInt(seen[1].File.Fd(), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("the descriptor is inherited: %v", err)
	}
	seen[1].File.Close()
}

// An error of the caller's is what comes back, when criu has undone its work.
func TestNotificationFails(t *testing.T) {
	s, p := newPeer(t)
	go func() {
		defer p.close()
		p.hears()
		p.says(notification("setup-namespaces", 7), -1)
		if p.hears().GetNotifySuccess() {
			t.Error("the notification is answered as if all were well")
		}
		p.says(answer(rpc.CriuReqType_RESTORE, false), -1)
	}()
	kind, own := rpc.CriuReqType_RESTORE, errors.New("own")
	if _, err := s.Do(&rpc.CriuReq{Type: &kind}, func(Notification) error { return own }); err != own {
		t.Error(err)
	}
}

func TestRefused(t *testing.T) {
	s, p := newPeer(t)
	go func() {
		defer p.close()
		p.hears()
		r := answer(rpc.CriuReqType_DUMP, false)
		errno := int32(unix.EBUSY)
		r.CrErrno = &errno
		p.says(r, -1)
	}()
	kind := rpc.CriuReqType_DUMP
	_, err := s.Do(&rpc.CriuReq{Type: &kind}, nil)
	if !errors.Is(err, unix.EBUSY) || err.Error() != "criu dump failed: device or resource busy" {
		t.Error(err)
	}
}

func TestEnds(t *testing.T) {
	s, p := newPeer(t)
	go func() {
		p.hears()
		p.close()
	}()
	kind := rpc.CriuReqType_DUMP
	if _, err := s.Do(&rpc.CriuReq{Type: &kind}, nil); !errors.Is(err, ErrEnded) {
		t.Error(err)
	}
	if _, err := s.Do(&rpc.CriuReq{Type: &kind}, nil); !errors.Is(err, ErrEnded) {
		t.Error(err)
	}
}

func TestFind(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := Find(context.Background(), ""); err != ErrMissing {
		t.Error(err)
	}
	if _, err := Find(context.Background(), "/nonexistent/criu"); !errors.Is(err, ErrMissing) || !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	// One that knows only how to complain.
	path := filepath.Join(t.TempDir(), "criu")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho 'Error (criu/x.c:1): no kernel' >&2\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(context.Background(), path); !errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), path) || !strings.HasSuffix(err.Error(), ": no kernel") {
		t.Error(err)
	}
}

func TestErrors(t *testing.T) {
	log := `(00.001) Version: 4.1
(00.002) Error (criu/util.c:1533): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted
(00.003)      1: Error (criu/files-reg.c:2353): Can't open file fd/2: Permission denied
(00.004) Warn  (criu/x.c:1): nothing
(00.005) Error (criu/cr-restore.c:2320): Restoring FAILED.
`
	if got := Errors(log); got != "Can't open file fd/2: Permission denied; Restoring FAILED." {
		t.Errorf("%q", got)
	}
	if got := Errors("Error (criu/a.c:1): 1\nError (criu/a.c:1): 2\nError (criu/a.c:1): 3\nError (criu/a.c:1): 4"); got != "2; 3; 4" {
		t.Errorf("%q", got)
	}
	if got := ErrorsIn("/nonexistent"); got != "" {
		t.Errorf("%q", got)
	}
	long := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(long, []byte(strings.Repeat("x\n", 100_000)+"Error (criu/a.c:1): at the end\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := ErrorsIn(long); got != "at the end" {
		t.Errorf("%q", got)
	}
}

func TestVersion(t *testing.T) {
	for v, want := range map[Version]string{31701: "3.17.1", 40100: "4.1", 31500: "3.15"} {
		if got := v.String(); got != want {
			t.Errorf("%d: %s, want %s", int(v), got, want)
		}
	}
}
