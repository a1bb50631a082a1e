package cgroups_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/cgroups"
	"github.com/peapod/peapod/internal/testkit"
)

// takeMuch has one process take 100 MiB.
const takeMuch = "exec dd if=/dev/zero of=/dev/null bs=100M count=1"

func TestStat(t *testing.T) {
	testkit.NeedRoot(t)
	g, err := cgroups.New(prefix, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer drop(t, g)
	before, err := g.Stat()
	if err != nil {
		t.Fatal(err)
	}
	length := counter(t, g)
	testkit.Eventually(t, "it counts", func() bool { return length() > 0 })
	testkit.Eventually(t, "processor time is used", func() bool {
		s, err := g.Stat()
		return err == nil && s.CPU.Usage.Total > before.CPU.Usage.Total && s.Pids.Current == 1
	})
	s, err := g.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if has(t, "memory") && (s.Memory.Usage.Usage == 0 || s.Memory.Raw == nil || s.Memory.Usage.Limit < 1<<60) {
		t.Errorf("memory %+v", s.Memory)
	}
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cpu", "cpuset", "memory", "pids", "blkio", "hugetlb"} {
		if fields[name] == nil {
			t.Errorf("no %s in %s", name, data)
		}
	}
}

// TestOOM: who takes more than the limit is killed; that is counted, and told
// while it happens.
func TestOOM(t *testing.T) {
	g := limited(t, "memory", &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: p[int64](16 << 20), Swap: p[int64](16 << 20)}})
	if g == nil {
		return
	}
	w, err := g.WatchOOM()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	started := time.Now()
	if text, err := output(t, g, takeMuch); err == nil {
		t.Errorf("100 MiB in a group of 16: %.99s", text)
	}
	killed := time.Now()
	o, _, err := w.Next(testkit.Soon(t))
	if err != nil || o.Kills != 1 {
		t.Errorf("%+v, %v", o, err)
	}
	t.Logf("killed %v after its start, told %v after that", killed.Sub(started), time.Since(killed))
	if o, err := g.OOM(); err != nil || o.Kills != 1 {
		t.Errorf("%+v, %v", o, err)
	}
	if s, err := g.Stat(); err != nil || s.Memory.Usage.Limit != 16<<20 || s.Memory.Usage.Max < 8<<20 {
		t.Errorf("%+v, %v", s, err)
	}
	ctx, cancel := contextFor(time.Millisecond)
	defer cancel()
	for err = nil; err == nil; { // an event of the first process's end
		_, _, err = w.Next(ctx)
	}
	if !errors.Is(err, ctx.Err()) {
		t.Errorf("without an event: %v", err)
	}
}
