package main

import (
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// parseSignal takes names with and without SIG, of either case, and numbers.
func parseSignal(s string) (unix.Signal, error) {
	if n, err := strconv.Atoi(s); err == nil {
		if n < 0 || n > 64 {
			return 0, fmt.Errorf("signal %d: give a number from 0 to 64", n)
		}
		return unix.Signal(n), nil
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if sig := unix.SignalNum("SIG" + name); sig != 0 {
		return sig, nil
	}
	if sig, ok := realTime(name); ok {
		return sig, nil
	}
	return 0, fmt.Errorf("signal %q: is unknown (kill -l lists the names)", s)
}

// signalNames are those that kill takes, without SIG.
func signalNames() (names []string) {
	for n := unix.Signal(1); n < 32; n++ {
		names = append(names, strings.TrimPrefix(unix.SignalName(n), "SIG"))
	}
	return names
}

// realTime is the signal RTMIN, RTMIN+n, RTMAX or RTMAX-n. The C library keeps
// the first two of the kernel's for itself (signal(7)).
func realTime(name string) (unix.Signal, bool) {
	const least, most = 34, 64
	base := least
	offset, ok := strings.CutPrefix(name, "RTMIN")
	if !ok {
		base = most
		if offset, ok = strings.CutPrefix(name, "RTMAX"); !ok {
			return 0, false
		}
	}
	n := 0
	if offset != "" {
		var err error
		if n, err = strconv.Atoi(offset); err != nil || offset[0] != '+' && offset[0] != '-' {
			return 0, false
		}
	}
	n += base
	return unix.Signal(n), n >= least && n <= most
}

// signals are those that were sent to this process to be passed on.
type signals struct {
	c     chan os.Signal
	ready chan struct{} // closed when the first ones are caught
}

// The signals that end this process unless it catches them and that people and
// engines send are caught first, and waited for.
var (
	first  = []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT}
	second = []unix.Signal{unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGCONT}
)

// patience is for how long the unusual signals have their default effect.
const patience = 50 * time.Millisecond

// catch begins to collect signals, while the caller goes on: each takes Go two
// changes of threads, 50 µs, so that a container which lives for some
// milliseconds only goes without the unusual ones. Those that are about this
// process itself are left out, and those that its caller had it ignore (nohup).
func catch() *signals {
	s := &signals{make(chan os.Signal, 64), make(chan struct{})}
	go func() {
		s.notify(first)
		close(s.ready)
		s.notify(second)
		time.Sleep(patience)
		var list []unix.Signal
		for n := unix.Signal(1); n <= 64; n++ {
			if forwardable(n) && !slices.Contains(first, n) && !slices.Contains(second, n) {
				list = append(list, n)
			}
		}
		s.notify(list)
	}()
	return s
}

func (s *signals) notify(list []unix.Signal) {
	for _, sig := range list {
		if !signal.Ignored(sig) {
			signal.Notify(s.c, sig)
		}
	}
}

// forwardable tells whether a signal is meant for the process that is waited
// for.
func forwardable(sig unix.Signal) bool {
	switch sig {
	case unix.SIGKILL, unix.SIGSTOP: // cannot be caught
	case unix.SIGCHLD:
	case unix.SIGTTIN, unix.SIGTTOU: // stop this job, where the shell wants that
	case unix.SIGURG, unix.SIGPROF: // Go's scheduler and profiler
	case 32, 33: // the C library's
	default:
		return true
	}
	return false
}

// wait returns when none of the first signals ends this process any more. It is
// called when the container's process runs, which takes longer: until then the
// end of this process ends that one too, before it has executed its command.
func (s *signals) wait() { <-s.ready }

// forward calls f with each signal. It returns only when the program ends.
func (s *signals) forward(f func(unix.Signal)) {
	for sig := range s.c {
		// Caught, so that a reader who leaves does not end this process
		// before it has cleared up, but nobody else's business.
		if sig != unix.SIGPIPE {
			f(sig.(unix.Signal))
		}
	}
}
