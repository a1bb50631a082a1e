package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
)

// A supervisor that only waits gives back what its start took.
func TestSupervisorMemory(t *testing.T) {
	name, path := podSpec(t, probing("wait"), probing("wait"))
	peapod(t, "pod", "run", "-d", path).ok()
	t.Cleanup(func() { peapod(t, "pod", "rm", "-f", name).ok() })
	id, err := (&podTrace{name: name}).supervisor()
	if err != nil {
		t.Fatal(err)
	}
	const most = 8 << 10
	testkit.Until(t, func() string {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", id.PID))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(data), "\nPss:")
		kib := 0
		if fmt.Sscan(rest, &kib); kib == 0 || kib > most {
			return fmt.Sprintf("the supervisor has %d KiB, more than %d", kib, most)
		}
		return ""
	})
}
