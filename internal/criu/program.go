package criu

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
)

// ErrMissing tells that the program is not there.
var ErrMissing = errors.New("criu is not installed (Debian: apt install criu)")

// Version is criu's, as 31701 for 3.17.1.
type Version int

// Oldest is the first one that freezes cgroups of v2, tells of lazy pages, and
// takes pid namespaces from its caller.
const Oldest Version = 31500

func (v Version) String() string {
	text := fmt.Sprintf("%d.%d", v/10000, v/100%100)
	if v%100 > 0 {
		text += fmt.Sprintf(".%d", v%100)
	}
	return text
}

// Program is a criu that was found.
type Program struct {
	Path    string
	Version Version
}

// Find looks for the program: at path, or in PATH where that is "". The error is
// ErrMissing where there is none; one older than Oldest is an error too.
func Find(ctx context.Context, path string) (*Program, error) {
	name := path
	if name == "" {
		name = "criu"
	}
	found, err := exec.LookPath(name)
	switch {
	case err == nil:
	case path != "":
		return nil, fmt.Errorf("%w: %w", ErrMissing, err)
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return nil, ErrMissing
	default:
		return nil, err
	}
	p := &Program{Path: found}
	r, err := p.ask(ctx, rpc.CriuReqType_VERSION, nil)
	if err != nil {
		return nil, fmt.Errorf("ask %s for its version: %w", found, err)
	}
	v := r.GetVersion()
	p.Version = Version(v.GetMajorNumber()*10000 + v.GetMinorNumber()*100 + v.GetSublevel())
	if p.Version < Oldest {
		return nil, fmt.Errorf("%s is criu %v: %v or newer is needed", found, p.Version, Oldest)
	}
	return p, nil
}

// Features are what not every kernel has.
type Features struct {
	LazyPages bool // userfaultfd
	MemTrack  bool // which pages were written to
}

// Features asks criu for those that this kernel has.
func (p *Program) Features(ctx context.Context) (Features, error) {
	yes := true
	r, err := p.ask(ctx, rpc.CriuReqType_FEATURE_CHECK, &rpc.CriuFeatures{LazyPages: &yes, MemTrack: &yes})
	if err != nil {
		return Features{}, fmt.Errorf("ask %s for the kernel's features: %w", p.Path, err)
	}
	f := r.GetFeatures()
	return Features{LazyPages: f.GetLazyPages(), MemTrack: f.GetMemTrack()}, nil
}

func (p *Program) ask(ctx context.Context, t rpc.CriuReqType, f *rpc.CriuFeatures) (*rpc.CriuResp, error) {
	s, err := p.Start()
	if err != nil {
		return nil, err
	}
	defer s.End()
	stop := context.AfterFunc(ctx, s.kill)
	defer stop()
	return s.Do(&rpc.CriuReq{Type: &t, Features: f}, nil)
}

// Start starts the program as an ordinary child, in a session of its own: a key
// of the terminal must not end it while it holds processes still.
func (p *Program) Start() (*Session, error) {
	s, theirs, err := NewSession()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	cmd := exec.Command(p.Path, p.Args()[1:]...)
	cmd.ExtraFiles = []*os.File{theirs}
	said := &strings.Builder{}
	cmd.Stderr = said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		s.Close()
		return nil, err
	}
	s.cmd, s.said = cmd, said
	return s, nil
}

// Socket is the descriptor at which the program expects its end of the socket.
const Socket = 3

// Args are the program's arguments, with the one by which it is called.
func (p *Program) Args() []string { return []string{"criu", "swrk", fmt.Sprint(Socket)} }
