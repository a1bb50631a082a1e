package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// load sends requests at a constant rate, whether answers come or not, in turn
// on each of some connections. The time of a request begins when it was to be
// sent, also when its connection was still waiting for the answer before: a
// server that stands still for a second delays a second's requests, not one
// (coordinated omission).
type load struct {
	ep       int
	conns    []*loadConn
	byFD     map[int32]*loadConn
	interval time.Duration
	begin    time.Time
	times    []time.Duration // of the requests that were answered
	buf      []byte
}

// loadConn is a connection, and the requests that wait for their answer; the
// first of them was sent.
type loadConn struct {
	fd   int
	due  []time.Duration // since load.begin
	have int             // bytes of the answer that have come
}

// loadResult is what it prints, as JSON.
type loadResult struct {
	Requests, Unanswered int
	P50, P99, Max        time.Duration
}

const loadRequest = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

// loadMain is `benchproxy -load ADDR RATE SECONDS CONNECTIONS`.
func loadMain(args []string) error {
	if len(args) != 4 {
		return errors.New("usage: -load ADDR RATE SECONDS CONNECTIONS")
	}
	addr, err := netip.ParseAddrPort(args[0])
	if err != nil {
		return err
	}
	var n [3]int
	for i := range n {
		if n[i], err = strconv.Atoi(args[1+i]); err != nil || n[i] < 1 {
			return fmt.Errorf("%q is not a number above 0", args[1+i])
		}
	}
	// Sleep to the microsecond, and do not stop to collect garbage.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return err
	}
	debug.SetGCPercent(-1)
	l, err := newLoad(addr, n[2])
	if err != nil {
		return err
	}
	l.interval = time.Second / time.Duration(n[0])
	if err := l.run(time.Duration(n[1]) * time.Second); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(l.result())
}

func newLoad(addr netip.AddrPort, conns int) (*load, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	l := &load{ep: ep, byFD: map[int32]*loadConn{}, buf: make([]byte, 64<<10)}
	for range conns {
		fd, err := connect(addr)
		if err != nil {
			return nil, err
		}
		if err := unix.SetNonblock(fd, true); err != nil {
			return nil, err
		}
		if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
			return nil, err
		}
		c := &loadConn{fd: fd}
		l.conns, l.byFD[int32(fd)] = append(l.conns, c), c
	}
	return l, nil
}

func connect(addr netip.AddrPort) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	return fd, unix.Connect(fd, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()})
}

// warmUp is not counted.
const warmUp = 200 * time.Millisecond

// run sends for that long and then waits two seconds for the last answers.
func (l *load) run(d time.Duration) error {
	d += warmUp
	l.begin = time.Now()
	l.times = make([]time.Duration, 0, int(d/l.interval)+1)
	for sent := 0; ; {
		now := time.Since(l.begin)
		for ; l.at(sent) <= min(now, d); sent++ {
			if err := l.send(l.conns[sent%len(l.conns)], l.at(sent)); err != nil {
				return err
			}
		}
		wait := l.at(sent) - now
		if now > d {
			if l.idle() || now > d+2*time.Second {
				return nil
			}
			wait = 10 * time.Millisecond
		}
		if err := l.receive(wait); err != nil {
			return err
		}
	}
}

// at is when a request is to be sent.
func (l *load) at(n int) time.Duration { return time.Duration(n) * l.interval }

func (l *load) idle() bool {
	return !slices.ContainsFunc(l.conns, func(c *loadConn) bool { return len(c.due) > 0 })
}

func (l *load) send(c *loadConn, due time.Duration) error {
	if c.due = append(c.due, due); len(c.due) > 1 {
		return nil
	}
	return c.write()
}

func (c *loadConn) write() error {
	if _, err := unix.Write(c.fd, []byte(loadRequest)); err != nil {
		return fmt.Errorf("send a request: %w", err)
	}
	return nil
}

func (l *load) receive(wait time.Duration) error {
	var events [64]unix.EpollEvent
	n, err := epollWait(l.ep, events[:], wait)
	if err != nil {
		return err
	}
	for _, e := range events[:n] {
		if err := l.read(l.byFD[e.Fd]); err != nil {
			return err
		}
	}
	return nil
}

func (l *load) read(c *loadConn) error {
	n, err := unix.Read(c.fd, l.buf)
	if err == unix.EAGAIN {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read an answer: %w", err)
	}
	if c.have += n; n == 0 || c.have > len(response) || len(c.due) == 0 {
		return errors.New("read an answer: the connection ended, or there is more than that")
	}
	if c.have < len(response) {
		return nil
	}
	if due := c.due[0]; due >= warmUp {
		l.times = append(l.times, time.Since(l.begin)-due)
	}
	c.have, c.due = 0, c.due[1:]
	if len(c.due) > 0 {
		return c.write()
	}
	return nil
}

// result counts what was never answered as answered now: it takes that long at
// least.
func (l *load) result() loadResult {
	r := loadResult{}
	now := time.Since(l.begin)
	for _, c := range l.conns {
		for _, due := range c.due {
			l.times = append(l.times, now-due)
			r.Unanswered++
		}
	}
	slices.Sort(l.times)
	if r.Requests = len(l.times); r.Requests > 0 {
		r.P50, r.P99, r.Max = l.times[r.Requests/2], l.times[r.Requests*99/100], l.times[r.Requests-1]
	}
	return r
}

// epollWait is epoll_pwait2(2): epoll_wait counts milliseconds.
func epollWait(ep int, events []unix.EpollEvent, wait time.Duration) (int, error) {
	ts := unix.NsecToTimespec(int64(max(wait, 0)))
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(ep), uintptr(unsafe.Pointer(&events[0])),
		uintptr(len(events)), uintptr(unsafe.Pointer(&ts)), 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EINTR:
		return 0, nil
	}
	return 0, fmt.Errorf("epoll_pwait2: %w", errno)
}
