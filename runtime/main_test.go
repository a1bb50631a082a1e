package runtime

import (
	"fmt"
	"os"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// The variables that give a copy of this test binary a part to play.
const (
	plainCgroup2 = "PEAPOD_TEST_CGROUP2" // in a private mount namespace with cgroup v2 alone
	victimID     = "PEAPOD_TEST_VICTIM"  // create this container and be killed meanwhile
	victimState  = "PEAPOD_TEST_STATE"
	victimImage  = "PEAPOD_TEST_IMAGE"
)

// group is the parent of the cgroups of this run.
var group = "/peapod/" + testkit.Mark + "runtime"

func TestMain(m *testing.M) {
	if os.Getenv(victimID) != "" {
		os.Exit(victim())
	}
	if os.Getenv(plainCgroup2) != "" {
		if err := unix.Mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, ""); err != nil {
			fmt.Fprintln(os.Stderr, "mount cgroup2 in a private mount namespace:", err)
			os.Exit(1)
		}
	}
	os.Exit(testkit.Run(m))
}
