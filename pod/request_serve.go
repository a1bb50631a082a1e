package pod

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/peapod/peapod/internal/proc"
)

// requests are those that a group gets, in a directory that is there for as long
// as the group.
type requests struct {
	store *Store
	place place
	lock  *os.File
	watch *watcher
	stop  context.CancelFunc
	group sync.WaitGroup
}

// groupsMade tells the groups of this process apart.
var groupsMade atomic.Int64

// openRequests makes the directory, whose name is that of the process and a
// number.
func (s *Store) openRequests() (_ *requests, err error) {
	if err := makePrivate(s.groupsDir()); err != nil {
		return nil, err
	}
	id, err := proc.Find(os.Getpid())
	if err != nil {
		return nil, err
	}
	r := &requests{store: s, place: s.groupPlace(fmt.Sprintf("%d-%d-%d", id.PID, id.StartTime, groupsMade.Add(1)))}
	if err := os.Mkdir(r.place.state, 0o700); err != nil {
		return nil, err
	}
	if r.lock, err = r.place.lock(); err != nil {
		os.RemoveAll(r.place.state)
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	if r.watch, err = watch(ctx, r.place.state); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *requests) id() string { return r.place.name }

// close takes no more requests. Those that are being answered are the caller's.
func (r *requests) close() {
	if r == nil {
		return
	}
	r.stop()
	r.group.Wait()
	if r.watch != nil {
		r.watch.close()
	}
	os.RemoveAll(r.place.state)
	r.lock.Close()
}

// serve begins to look for requests.
func (r *requests) serve(g *Group) {
	r.group.Go(func() {
		for {
			r.look(g)
			if r.watch.wait(24*time.Hour) != nil {
				return
			}
		}
	})
}

// look takes the requests that are there.
func (r *requests) look(g *Group) {
	entries, _ := os.ReadDir(r.place.state)
	for _, e := range entries {
		path := filepath.Join(r.place.state, e.Name())
		if pod, ok := strings.CutSuffix(e.Name(), stopSuffix); ok {
			os.Remove(path)
			g.heed(pod)
		} else if name, ok := strings.CutSuffix(e.Name(), requestSuffix); ok {
			data, err := os.ReadFile(path)
			os.Remove(path)
			if err == nil {
				r.answer(g, name, data)
			}
		}
	}
}

// answer begins to do what is asked for. The group lives until that is done.
func (r *requests) answer(g *Group, name string, data []byte) {
	out, err := os.OpenFile(filepath.Join(r.place.state, name+answerSuffix), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		r.store.log().Error("a request cannot be answered", "error", err)
		return
	}
	var mu sync.Mutex
	write := func(a groupAnswer) {
		mu.Lock()
		defer mu.Unlock()
		json.NewEncoder(out).Encode(a) // one write; who asked may have gone
	}
	write(groupAnswer{}) // it has arrived
	if err := g.enter(); err != nil {
		write(groupAnswer{Done: true, Error: err.Error(), ExitCode: 1})
		out.Close()
		return
	}
	go func() {
		defer g.leave()
		defer out.Close()
		var q groupRequest
		a := groupAnswer{Done: true}
		err := json.Unmarshal(data, &q)
		if err == nil {
			a.Applied, err = g.perform(&q, func(text string) { write(groupAnswer{Text: text}) })
		}
		if err != nil {
			a.Error, a.ExitCode = err.Error(), ExitCode(err)
		}
		write(a)
	}()
}

// sweepGroups removes what processes that died have left.
func (s *Store) sweepGroups() {
	entries, _ := os.ReadDir(s.groupsDir())
	for _, e := range entries {
		// Who begins has its directory for a moment without the lock.
		p := s.groupPlace(e.Name())
		id, ok := parseSocketName(e.Name() + ".sock")
		if !ok || id.Alive() {
			continue
		}
		if running, err := p.supervised(); err == nil && !running {
			os.RemoveAll(p.state)
		}
	}
}
