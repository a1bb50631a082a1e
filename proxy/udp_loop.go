package proxy

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// loop moves datagrams until the front ends.
func (f *UDPFront) loop() {
	defer close(f.gone)
	defer f.closeAll()
	for f.wait() {
		f.wakeups.Add(1)
		f.now = time.Since(f.start)
		if f.ready > 0 {
			b := batches.Get().(*batch)
			f.serve(b)
			batches.Put(b)
		}
		f.expire()
	}
}

// wait returns when there is something to do, and false when there never will
// be.
func (f *UDPFront) wait() bool {
	f.arm()
	switch f.state.Load() {
	case udpClosing:
		return false
	case udpDraining:
		if len(f.flows) == 0 {
			return false
		}
	}
	f.ready = 0
	err := f.raw.Read(f.look)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		f.armed = -1
		err = nil
	}
	return err == nil
}

// poll asks our poller without waiting: Go's waits until it has something.
func (f *UDPFront) poll(fd uintptr) (done bool) {
	n, err := unix.EpollWait(int(fd), f.events[:], 0)
	f.ready = max(n, 0)
	return n > 0 || err != nil && err != unix.EINTR
}

// arm has the loop woken up when the first flow ends. With each datagram that
// moves away; the deadline is left too early then, and set anew when it has
// passed. Without flows there is none.
func (f *UDPFront) arm() {
	next := f.nextExpiry()
	if next == f.armed || 0 < f.armed && f.armed < next {
		return
	}
	f.armed = next
	if next == 0 {
		f.wake.SetReadDeadline(time.Time{})
	} else {
		f.wake.SetReadDeadline(f.start.Add(next))
	}
}

// serve handles the events: replies first, since they make room.
func (f *UDPFront) serve(b *batch) {
	arrived, used := false, 0
	for _, e := range f.events[:f.ready] {
		if int(e.Fd) == f.fd {
			arrived = true
		} else if fl := f.byFD[e.Fd]; fl != nil {
			used = f.collect(b, used, fl)
		}
	}
	f.flush(b, used)
	if arrived {
		f.receive(b)
	}
}

// perFlow is how many replies are taken from one flow before the others have
// their turn.
const perFlow = 8

// collect receives replies from a flow's endpoint behind those that are in the
// batch already.
func (f *UDPFront) collect(b *batch, used int, fl *flow) int {
	if used == batchSize {
		f.flush(b, used)
		used = 0
	}
	n, err := recvmmsg(fl.fd, b.room(used, min(used+perFlow, batchSize), false))
	if err != nil {
		if err != unix.EAGAIN {
			f.unreachable(fl, err)
		}
		return used
	}
	bytes := int64(0)
	for i := used; i < used+n; i++ {
		b.ready(i, fl)
		if f.raw4 >= 0 {
			b.raw(i, f.o.From, fl)
		}
		bytes += int64(b.heads[i].size)
	}
	fl.member.out.Add(bytes)
	f.answered(fl)
	return used + n
}

// flush sends the batch to the clients.
func (f *UDPFront) flush(b *batch, used int) {
	fd, header := f.fd, 0
	if f.raw4 >= 0 {
		fd, header = f.raw4, rawHeaderSize
		if !f.o.From.Addr().Unmap().Is4() {
			header = rawHeaderSize6
		}
	}
	for list := b.heads[:used]; len(list) > 0; {
		n, err := sendmmsg(fd, list)
		for _, h := range list[:n] {
			f.stats.out.Add(int64(h.size) - int64(header))
		}
		f.stats.datagramsOut.Add(uint64(n))
		if err != nil || n == 0 {
			f.stats.dropped.Add(1) // the client is gone, or its queue is full
			n = 1
		}
		list = list[n:]
	}
}

// receive forwards what clients have sent, those of the same one together.
func (f *UDPFront) receive(b *batch) {
	n, err := recvmmsg(f.fd, b.room(0, batchSize, true))
	if err != nil {
		return // of a datagram that was sent before, or there is none
	}
	f.stats.datagramsIn.Add(uint64(n))
	for from := 0; from < n; {
		key, ok := b.key(from)
		to := from
		for ; to < n; to++ {
			if other, _ := b.key(to); other != key {
				break
			}
			f.stats.in.Add(int64(b.heads[to].size))
		}
		var fl *flow
		if ok {
			fl = f.flow(key, b.names[from][:b.heads[from].Namelen])
		}
		for i := from; i < to; i++ {
			b.ready(i, nil)
		}
		f.send(fl, b.heads[from:to])
		from = to
	}
}

// flow returns the flow of a client, a new one if there is none; nil if that is
// not possible.
func (f *UDPFront) flow(key flowKey, name []byte) *flow {
	if fl := f.flows[key]; fl != nil {
		return fl
	}
	return f.open(key, name)
}

// send sends datagrams to a flow's endpoint, or to another one if that cannot be
// reached.
func (f *UDPFront) send(fl *flow, list []mmsghdr) {
	if fl == nil {
		f.stats.dropped.Add(uint64(len(list)))
		return
	}
	f.replace(fl)
	for len(list) > 0 {
		n, err := sendmmsg(fl.fd, list)
		if err == nil && !fl.sent {
			// An endpoint on this machine has refused it by now, and the
			// datagrams are still at hand.
			if fl.sent, fl.begun = true, f.now; fl.refused() {
				n, err = 0, unix.ECONNREFUSED
			}
		}
		switch {
		case err == nil && n > 0:
			f.sent(fl, list[:n])
			list = list[n:]
		case !isUnreachable(err):
			f.stats.dropped.Add(1) // too long, or no room
			list = list[1:]
		case !f.unreachable(fl, err):
			f.stats.dropped.Add(uint64(len(list)))
			return
		}
	}
}

func (f *UDPFront) sent(fl *flow, list []mmsghdr) {
	bytes := int64(0)
	for _, h := range list {
		bytes += int64(h.size)
	}
	fl.member.in.Add(bytes)
	f.touch(fl)
}

// watch has the poller look at a socket.
func (f *UDPFront) watch(fd int) error {
	e := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(f.poller, unix.EPOLL_CTL_ADD, fd, &e))
}

func (f *UDPFront) closeAll() {
	for _, fl := range f.flows {
		f.end(fl)
	}
	if f.raw4 >= 0 {
		unix.Close(f.raw4)
	}
	if f.fd >= 0 {
		unix.Close(f.fd)
	}
	switch {
	case f.wake != nil:
		f.wake.Close()
	case f.poller >= 0:
		unix.Close(f.poller)
	}
}
