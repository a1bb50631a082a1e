package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// networkLoad is what went through an interface; the names are runc's.
type networkLoad struct {
	Name                                    string
	RxBytes, RxPackets, RxErrors, RxDropped uint64
	TxBytes, TxPackets, TxErrors, TxDropped uint64
}

// networkOf lists the interfaces that a process sees, but lo; none where it has
// ended.
func networkOf(pid int) []networkLoad {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", pid))
	if err != nil {
		return nil
	}
	return parseNetwork(string(data))
}

// parseNetwork reads /proc/PID/net/dev: two lines of heads, then "eth0: " and
// eight counters of what came and eight of what went.
func parseNetwork(text string) (list []networkLoad) {
	for line := range strings.Lines(text) {
		name, rest, ok := strings.Cut(line, ":")
		f := strings.Fields(rest)
		if name = strings.TrimSpace(name); !ok || len(f) < 12 || name == "lo" {
			continue
		}
		n := func(i int) uint64 {
			v, _ := strconv.ParseUint(f[i], 10, 64)
			return v
		}
		list = append(list, networkLoad{name, n(0), n(1), n(2), n(3), n(8), n(9), n(10), n(11)})
	}
	return list
}
