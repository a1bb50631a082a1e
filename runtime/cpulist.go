package runtime

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// bitList is a set of numbers, of CPUs or of memory nodes, as the kernel takes
// it: a bit for each, in words of 64.
type bitList []uint64

// mostBits bounds what a list may name: far more than any machine has.
const mostBits = 4096

// parseBitList reads "0-3,7".
func parseBitList(s string) (list bitList, err error) {
	for part := range strings.SplitSeq(s, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		first, err := strconv.ParseUint(from, 10, 32)
		last := first
		if err == nil && isRange {
			last, err = strconv.ParseUint(to, 10, 32)
		}
		if err != nil || last < first || last >= mostBits {
			return nil, fmt.Errorf("%q: give numbers and ranges below %d, such as 0-3,7", s, mostBits)
		}
		for n := first; n <= last; n++ {
			for uint64(len(list)) <= n/64 {
				list = append(list, 0)
			}
			list[n/64] |= 1 << (n % 64)
		}
	}
	return list, nil
}

// bytes is the list as memory of a program.
func (l bitList) bytes() []byte {
	var b []byte
	for _, word := range l {
		b = binary.LittleEndian.AppendUint64(b, word)
	}
	return b
}
