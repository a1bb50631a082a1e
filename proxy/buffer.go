package proxy

import "math/bits"

const (
	// bufferSize is what is read at once.
	bufferSize = 64 << 10
	// Bytes that a peer does not take at once are kept in memory of a size
	// that is a power of two, from minBuffer up to bufferSize.
	minBufferBits = 12
	bufferClasses = 16 - minBufferBits + 1
	// keptBuffers are kept of each size for the next ones.
	keptBuffers = 16
)

// buffers are a loop's: what a peer did not take at once is kept in one until it
// does.
type buffers [bufferClasses][][]byte

// class returns the index of the smallest size that n bytes, 64 KiB at most, fit
// in.
func bufferClass(n int) int { return max(bits.Len(uint(n-1))-minBufferBits, 0) }

// hold returns a copy of b.
func (p *buffers) hold(b []byte) []byte {
	c := bufferClass(len(b))
	if n := len(p[c]); n > 0 {
		x := p[c][n-1]
		p[c] = p[c][:n-1]
		return append(x, b...)
	}
	return append(make([]byte, 0, 1<<(c+minBufferBits)), b...)
}

// drop takes memory back that hold returned.
func (p *buffers) drop(x []byte) {
	c := bufferClass(cap(x))
	if len(p[c]) < keptBuffers {
		p[c] = append(p[c], x[:0])
	}
}
