package pod

import (
	"fmt"
	"os"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
)

// superviseArg makes this test binary the supervisor that Detach starts.
const superviseArg = "supervise"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == superviseArg {
		os.Exit(Supervise())
	}
	if len(os.Args) > 3 && os.Args[1] == getArg {
		s := Store{Root: os.Args[2]}
		r, err := s.Get(os.Args[3])
		fmt.Println(r, err)
		return
	}
	os.Exit(testkit.Run(m))
}
