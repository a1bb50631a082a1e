package proxy

import (
	"encoding/binary"
	"net/netip"
)

// Sizes of Maglev's table: primes, so that each member's steps through it meet
// every slot. A table of a hundred slots per endpoint keeps their shares within
// a few per cent and lets a change move hardly more clients than it must; a
// smaller one is 4 KiB and a larger one 128 KiB, for each pool. The size depends
// on the number of endpoints alone, so that proxies agree about clients whatever
// happened before; the price is that nearly all clients move when the number
// passes fewEndpoints.
const (
	smallTable   = 2039
	largeTable   = 65537
	fewEndpoints = 20
	// maxTabled is how many endpoints the table can name.
	maxTabled = 1 << 16
)

// maglev fills a lookup table such that each member has slots by weight, at
// places that depend little on the other members (Eisenbud et al., Maglev: A
// Fast and Reliable Software Network Load Balancer, NSDI 2016, 3.4).
func maglev(members []*member) []uint16 {
	members = members[:min(len(members), maxTabled)]
	if len(members) == 0 {
		return nil
	}
	size := uint64(smallTable)
	if len(members) > fewEndpoints {
		size = largeTable
	}
	turns, heavy := seats(members, size)
	table, taken := make([]uint16, size), make([]bool, size)
	for filled := uint64(0); ; {
		for i := range turns {
			t := &turns[i]
			// A member of half the largest weight has every second turn.
			if t.credit += t.weight; t.credit < heavy {
				continue
			}
			t.credit -= heavy
			slot := t.next
			for taken[slot] {
				slot = (slot + t.step) % size
			}
			t.next = (slot + t.step) % size
			table[slot], taken[slot] = uint16(i), true
			if filled++; filled == size {
				return table
			}
		}
	}
}

// seat is a member's way through the table.
type seat struct {
	next, step     uint64
	weight, credit uint64
}

func seats(members []*member, size uint64) (list []seat, heavy uint64) {
	list = make([]seat, len(members))
	for i, m := range members {
		h := m.key.hash()
		weight := uint64(m.config.Load().weight)
		list[i] = seat{next: h % size, step: mix(h)%(size-1) + 1, weight: weight}
		heavy = max(heavy, weight)
	}
	return list, heavy
}

// hash is the member's place: of the ID, so that a pod that came back under its
// name with another address has its clients again; of the address without one.
func (k memberKey) hash() uint64 {
	name := k.id
	if name == "" {
		name = k.addr.String()
	}
	h := uint64(14695981039346656037) // FNV-1a
	for _, b := range []byte(name) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return mix(h)
}

// hashAddr is the client's place, the same in each process.
func hashAddr(a netip.Addr) uint64 {
	b := a.As16()
	return mix(mix(binary.LittleEndian.Uint64(b[:8])) ^ binary.LittleEndian.Uint64(b[8:]))
}

// mix is the finalizer of splitmix64: each bit of the input changes half of the
// output's.
func mix(h uint64) uint64 {
	h += 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// maxWalk is how many slots are looked at before all members are.
const maxWalk = 64

// sourceHash returns the owner of the client's slot, or else of the next slot
// whose owner fits: clients of a member that is full or set aside go to all
// others, and no client of the others moves.
func (s *search) sourceHash() *member {
	table, h := s.view.table, hashAddr(s.client)
	slot := h % uint64(len(table))
	for range maxWalk {
		if m := s.view.members[table[slot]]; s.fits(m) {
			return m
		}
		if slot++; slot == uint64(len(table)) {
			slot = 0
		}
	}
	return s.scan(nil, int(h%uint64(len(s.view.members))))
}
