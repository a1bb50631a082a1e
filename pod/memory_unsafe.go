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
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return // it costs memory only
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var start, end uintptr
		var mode string
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &start, &end, &mode); err != nil {
			return
		}
		// Never what is or was written to.
		if strings.Contains(lines.Text(), "/") && (mode == "r-xp" || mode == "r--p") {
			unix.Syscall(unix.SYS_MADVISE, start, end-start, unix.MADV_DONTNEED)
		}
	}
}
