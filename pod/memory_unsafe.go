package pod

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// forgetStart gives memory back that starting a pod took and following it does
// not need: free heap, and the pages of code that were mapped from the binary.
// Of the latter those that are needed come back from the page cache by
// themselves (madvise(2), MADV_DONTNEED on a private mapping of a file).
func forgetStart() {
	debug.FreeOSMemory()
	smaps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return // it costs memory only
	}
	defer smaps.Close()
	var start, end uintptr
	var mode string
	file := false
	for lines := bufio.NewScanner(smaps); lines.Scan(); {
		line := lines.Text()
		var from, to uintptr
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); n == 3 {
			start, end, file = from, to, strings.Contains(line, "/")
			continue
		}
		// Never what was written to, which would be lost: what a dynamic
		// linker has filled in is read-only too, afterwards.
		unchanged := strings.HasPrefix(line, "Anonymous:") && strings.Fields(line)[1] == "0"
		if unchanged && file && (mode == "r-xp" || mode == "r--p") {
			unix.Syscall(unix.SYS_MADVISE, start, end-start, unix.MADV_DONTNEED)
		}
	}
}
