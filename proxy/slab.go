package proxy

// slab holds a loop's sessions. They are never given back to Go's heap, which
// would have to be searched by its collector for what is free: a proxy that had
// 10,000 connections at once needs 4 MB until it ends.
type slab struct {
	chunks [][]session
	free   []int32 // slots
	dead   []int32 // slots that may still be referred to in this round
}

const chunkBits = 7

func (b *slab) at(slot int32) *session {
	return &b.chunks[slot>>chunkBits][slot&(1<<chunkBits-1)]
}

// end returns the end that an event's number stands for.
func (b *slab) end(id int32) *end {
	s := b.at(id >> 1)
	if id&1 == 0 {
		return &s.client
	}
	return &s.backend
}

func (b *slab) get() *session {
	if len(b.free) == 0 {
		first := int32(len(b.chunks)) << chunkBits
		b.chunks = append(b.chunks, make([]session, 1<<chunkBits))
		for i := first + 1<<chunkBits - 1; i >= first; i-- {
			b.at(i).slot = i
			b.free = append(b.free, i)
		}
	}
	slot := b.free[len(b.free)-1]
	b.free = b.free[:len(b.free)-1]
	return b.at(slot)
}

// put keeps the session as it is until the end of the round.
func (b *slab) put(s *session) { b.dead = append(b.dead, s.slot) }

func (b *slab) recycle() {
	b.free = append(b.free, b.dead...)
	b.dead = b.dead[:0]
}

// all calls f for each session that is in use. f may end it.
func (b *slab) all(f func(*session)) {
	for _, chunk := range b.chunks {
		for i := range chunk {
			if chunk[i].state != gone {
				f(&chunk[i])
			}
		}
	}
}
