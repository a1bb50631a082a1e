package runtime

import (
	"bytes"
	"os"
	"strconv"
	"strings"

	"github.com/peapod/peapod/internal/program"
	"golang.org/x/sys/unix"
)

// allCPUs takes back what taskset(1) or an engine did to its own threads: a
// container has the CPUs of its cgroup, to which the kernel reduces the mask.
func allCPUs(p *program.Program) {
	if !pinned() {
		return
	}
	mask := bytes.Repeat([]byte{0xff}, 1024) // 8192 CPUs, the most that the kernel has
	p.Call(unix.SYS_SCHED_SETAFFINITY, program.Int(0), program.Int(len(mask)), p.Bytes(mask, "{all CPUs}")).For("allow", "all CPUs")
}

// pinned tells whether this process may not use some of the CPUs.
func pinned() bool {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return true // more CPUs than the set has room for
	}
	text, err := os.ReadFile("/sys/devices/system/cpu/online")
	return err != nil || set.Count() < countCPUs(strings.TrimSpace(string(text)))
}

// countCPUs counts "0-3,6".
func countCPUs(list string) (n int) {
	for part := range strings.SplitSeq(list, ",") {
		from, to, ok := strings.Cut(part, "-")
		if !ok {
			to = from
		}
		first, err1 := strconv.Atoi(from)
		last, err2 := strconv.Atoi(to)
		if err1 == nil && err2 == nil {
			n += last - first + 1
		}
	}
	return n
}
