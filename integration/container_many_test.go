package integration

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/peapod/peapod/cgroups"
	"github.com/peapod/peapod/internal/testkit"
)

// TestManyGroups: none is left of many containers, which are made and deleted
// eight at a time, where all of the host's hierarchies are to be seen, and with v2
// alone.
func TestManyGroups(t *testing.T) {
	t.Run("host", func(t *testing.T) {
		name := newName(t)
		if made := manyGroups(t, name, func(args ...string) *result { return peapod(t, args...) }); made != many() {
			t.Errorf("of %d containers %d had a group", many(), made)
		}
		if left := testkit.Groups(name); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
	if mode, err := cgroups.HostMode(); err != nil || mode == cgroups.V2 {
		return
	}
	t.Run("v2", func(t *testing.T) {
		name := newName(t)
		manyGroups(t, name, func(args ...string) *result { return foreign(t, unifiedGroups, args...) })
		out, err := exec.Command("unshare", "-m", "sh", "-c", unifiedGroups+`; cd /sys/fs/cgroup && find . -name "$1*"`, "sh", name).CombinedOutput()
		if err != nil || strings.Contains(string(out), name) {
			t.Errorf("left: %v, %s", err, out)
		}
	})
}

// many is how many containers TestManyGroups makes.
func many() int {
	if n, err := strconv.Atoi(os.Getenv("PEAPOD_TEST_CONTAINERS")); err == nil {
		return n
	}
	return 500
}

// manyGroups makes and deletes them, and tells of how many it saw the group.
func manyGroups(t *testing.T, name string, peapod func(args ...string) *result) int {
	b := newBundle(t, nil, "echo")
	var all sync.WaitGroup
	var made atomic.Int64
	turns := make(chan string)
	for range 8 {
		all.Go(func() {
			for id := range turns {
				if r := peapod("create", "-b", b, id); r.code != 0 {
					t.Errorf("create %s: %s", id, r.stderr)
				} else if len(testkit.Groups(id+".")) > 0 {
					made.Add(1)
				}
				if r := peapod("delete", "-f", id); r.code != 0 {
					t.Errorf("delete %s: %s", id, r.stderr)
				}
			}
		})
	}
	for i := range many() {
		turns <- fmt.Sprintf("%s-%d", name, i)
	}
	close(turns)
	all.Wait()
	return int(made.Load())
}
