package proxy

import "time"

// nearRoundTrip is as long as one takes at most to a peer of which nearBuffer on
// its way is enough: 100 µs at 25 Gbit/s are 300 KiB.
const nearRoundTrip = 100 * time.Microsecond

// bound keeps what is on its way in bulk to a peer near by within what the
// processor's cache holds. The kernel would let several megabytes pile up on each
// connection, and the peer, which then reads from memory, take half as much in a
// second. It doubles nearBuffer for its own bookkeeping, and takes less where
// net.core.wmem_max says so.
func (l *loop) bound(e *end) {
	if e.bounded {
		return
	}
	e.bounded = true
	if t := leastRoundTrip(e.fd, &l.info); 0 < t && t <= nearRoundTrip {
		setSendBuffer(e.fd, &nearBuffer)
	}
}
