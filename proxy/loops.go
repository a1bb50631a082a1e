package proxy

import (
	"fmt"
	"runtime"
	"sync"
)

// loopSet is loops that run while somebody needs them.
type loopSet struct {
	mu    sync.Mutex
	users int
	loops []*loop
}

// common is for all proxies of a process that do not ask for loops of their own:
// there are not more cores for many than for one.
var common loopSet

// join returns the set's loops and starts them first if they do not run: n, or,
// if that is 0, one fewer than there are places in Go's scheduler.
func (s *loopSet) join(n int) ([]*loop, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users == 0 {
		if n == 0 {
			n = max(runtime.GOMAXPROCS(0)-1, 1)
		}
		loops, err := startLoops(n)
		if err != nil {
			return nil, err
		}
		s.loops = loops
	}
	s.users++
	return s.loops, nil
}

// leave ends the loops when nobody is left.
func (s *loopSet) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users--; s.users > 0 {
		return
	}
	for _, l := range s.loops {
		l.call(func(l *loop) { l.stopping = true })
	}
	for _, l := range s.loops {
		<-l.ended
	}
	s.loops = nil
}

func startLoops(n int) ([]*loop, error) {
	loops := make([]*loop, n)
	for i := range loops {
		l, err := newLoop()
		if err != nil {
			for _, l := range loops[:i] {
				l.free()
			}
			return nil, fmt.Errorf("start an event loop: %w", err)
		}
		loops[i] = l
	}
	for _, l := range loops {
		l.peers = loops
		go l.run()
	}
	return loops, nil
}
