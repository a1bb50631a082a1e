package kernel

import (
	"os"
	"strings"
	"sync"
)

// InUserNamespace tells whether this process is in a user namespace other than the
// first: root there is somebody else outside, and has no privilege over the host. It
// is told by the map of ids, which is that of all ids to themselves in the first.
var InUserNamespace = sync.OnceValue(func() bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && strings.Join(strings.Fields(string(text)), " ") != "0 0 4294967295"
})
