package pod

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/peapod/peapod/internal/proc"
	"golang.org/x/sys/unix"
)

// Each process that forwards to services tells what it has counted to whoever
// connects to its socket in $ROOT/hubs: one line of JSON in, one out, the end.
// Its name is that of the process, so that one which a dead process has left is
// known without asking.

// trafficVersion is that of the requests.
const trafficVersion = 1

// trafficRequest asks for the traffic of services: of all, if none is named.
type trafficRequest struct {
	Version  int      `json:"version"`
	Services []string `json:"services,omitempty"`
}

// trafficReply is the answer.
type trafficReply struct {
	Error string `json:"error,omitempty"`
	*ProcessTraffic
}

const (
	maxTrafficRequest = 64 << 10
	// trafficTimeout is for a question and its answer.
	trafficTimeout = 5 * time.Second
	// maxTrafficAnswers are given at the same time; others wait.
	maxTrafficAnswers = 8
)

func (s *Store) hubsDir() string { return filepath.Join(s.root(), "hubs") }

// socketName is that of a process's nth socket.
func socketName(id proc.ID, n int64) string {
	return fmt.Sprintf("%d-%d-%d.sock", id.PID, id.StartTime, n)
}

// parseSocketName returns the process that a socket belongs to.
func parseSocketName(name string) (id proc.ID, ok bool) {
	parts := strings.Split(strings.TrimSuffix(name, ".sock"), "-")
	if len(parts) != 3 {
		return id, false
	}
	var errs [3]error
	var n int64
	id.PID, errs[0] = strconv.Atoi(parts[0])
	id.StartTime, errs[1] = strconv.ParseUint(parts[1], 10, 64)
	n, errs[2] = strconv.ParseInt(parts[2], 10, 64)
	return id, errors.Join(errs[:]...) == nil && name == socketName(id, n) && id.PID > 0
}

// inDir calls f with a path of name that is short enough for a socket's address.
func inDir(dir, name string, f func(path string) error) error {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	return f("/proc/self/fd/" + strconv.Itoa(fd) + "/" + name)
}

// trafficServer answers on a socket.
type trafficServer struct {
	path     string
	listener *net.UnixListener
	answer   func(trafficRequest) *ProcessTraffic

	ctx     context.Context // of open connections
	cut     context.CancelFunc
	slots   chan struct{}
	running sync.WaitGroup
}

// socketsMade tells this process's sockets apart.
var socketsMade atomic.Int64

func (s *Store) serveTraffic(answer func(trafficRequest) *ProcessTraffic) (*trafficServer, error) {
	dir := s.hubsDir()
	if err := makePrivate(dir); err != nil {
		return nil, err
	}
	s.sweepSockets()
	id, err := proc.Find(os.Getpid())
	if err != nil {
		return nil, err
	}
	name := socketName(id, socketsMade.Add(1))
	t := &trafficServer{path: filepath.Join(dir, name), answer: answer, slots: make(chan struct{}, maxTrafficAnswers)}
	err = inDir(dir, name, func(path string) (err error) {
		if t.listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"}); err != nil {
			return err
		}
		t.listener.SetUnlinkOnClose(false) // that path is about to go
		return os.Chmod(path, 0o600)
	})
	if err != nil {
		if t.listener != nil {
			t.listener.Close()
			os.Remove(t.path)
		}
		return nil, err
	}
	t.ctx, t.cut = context.WithCancel(context.Background())
	t.running.Go(t.serve)
	return t, nil
}

// close removes the socket and cuts those who are asking.
func (t *trafficServer) close() {
	if t == nil {
		return
	}
	os.Remove(t.path)
	t.listener.Close()
	t.cut()
	t.running.Wait()
}

func (t *trafficServer) serve() {
	for {
		t.slots <- struct{}{}
		c, err := t.listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // out of descriptors: it passes
			<-t.slots
			select {
			case <-t.ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		default:
			t.running.Go(func() {
				defer func() { <-t.slots }()
				t.talk(c)
			})
		}
	}
}

func (t *trafficServer) talk(c net.Conn) {
	defer c.Close()
	defer context.AfterFunc(t.ctx, func() { c.Close() })()
	c.SetDeadline(time.Now().Add(trafficTimeout))
	line, err := bufio.NewReader(io.LimitReader(c, maxTrafficRequest)).ReadBytes('\n')
	if err != nil {
		return // gone, or no line
	}
	reply := trafficReply{}
	if r, err := parseTrafficRequest(line); err != nil {
		reply.Error = err.Error()
	} else {
		reply.ProcessTraffic = t.answer(r)
	}
	json.NewEncoder(c).Encode(reply)
}

// parseTrafficRequest refuses what a newer peapod may mean by it.
func parseTrafficRequest(line []byte) (r trafficRequest, err error) {
	if err := json.Unmarshal(line, &r); err != nil {
		return r, fmt.Errorf("not a request: %w", err)
	}
	if r.Version != trafficVersion {
		return r, fmt.Errorf("version %d of requests is not known here, only %d", r.Version, trafficVersion)
	}
	return r, nil
}

// sweepSockets removes those that dead processes have left.
func (s *Store) sweepSockets() {
	entries, _ := os.ReadDir(s.hubsDir())
	for _, e := range entries {
		// In another pid namespace the process may live.
		if id, ok := parseSocketName(e.Name()); ok && !id.Alive() && s.refused(e.Name()) {
			os.Remove(filepath.Join(s.hubsDir(), e.Name()))
		}
	}
}

// refused tells that nobody listens on a socket.
func (s *Store) refused(name string) bool {
	return errors.Is(inDir(s.hubsDir(), name, func(path string) error {
		c, err := net.Dial("unix", path)
		if err == nil {
			c.Close()
		}
		return err
	}), unix.ECONNREFUSED)
}
