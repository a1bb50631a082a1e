package runtime

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A directory stands for the kernel's: what is written where, and what of it
// goes again, is the specification's word.
func TestResctrl(t *testing.T) {
	c := resctrl{t.TempDir()}
	read := func(name string) string {
		data, _ := os.ReadFile(filepath.Join(c.dir, name))
		return strings.TrimSpace(string(data))
	}
	own := &specs.LinuxIntelRdt{L3CacheSchema: "L3:0=f", MemBwSchema: "MB:0=50"}
	if err := c.enter(own, "box", 42); err != nil || read("box/tasks") != "42" || read("box/schemata") != "MB:0=50" {
		t.Errorf("%v: tasks %q, schemata %q", err, read("box/tasks"), read("box/schemata"))
	}
	if err := c.change(own, "box", &specs.LinuxIntelRdt{L3CacheSchema: "L3:0=3"}); err != nil || read("box/schemata") != "L3:0=3" {
		t.Errorf("%v: changed to %q", err, read("box/schemata"))
	}
	if err := c.change(own, "gone", &specs.LinuxIntelRdt{MemBwSchema: "MB:0=10"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a class that is not there: %v", err)
	}
	if err := c.enter(&specs.LinuxIntelRdt{ClosID: "none"}, "box", 42); err == nil || !strings.Contains(err.Error(), "there is no such class") {
		t.Error(err)
	}
	if _, err := os.Stat(c.dir + "/none"); err == nil {
		t.Error("a class that was refused is there")
	}
	os.Mkdir(c.dir+"/shared", 0o755)
	write(t, c.dir+"/shared/schemata", "L3:0=f;1=ff\nMB:0=100\n")
	for schema, fits := range map[string]bool{"L3:1=ff": true, "L3:0=f;1=ff": true, "L3:0=1": false, "L2:0=1": false} {
		err := c.enter(&specs.LinuxIntelRdt{ClosID: "shared", L3CacheSchema: schema}, "box", 43)
		if (err == nil) != fits {
			t.Errorf("%s: %v", schema, err)
		}
	}
	os.Mkdir(c.dir+"/shared/mon_groups", 0o755)
	watched := &specs.LinuxIntelRdt{ClosID: "shared", EnableMonitoring: true}
	if err := c.enter(watched, "box", 44); err != nil || read("shared/mon_groups/box/tasks") != "44" {
		t.Errorf("%v: %q", err, read("shared/mon_groups/box/tasks"))
	}
	os.Remove(c.dir + "/shared/mon_groups/box/tasks") // the kernel's go with their directory
	c.leave(watched, "box")
	if _, err := os.Stat(c.dir + "/shared/mon_groups/box"); err == nil {
		t.Error("the monitoring group stays")
	}
	if _, err := os.Stat(c.dir + "/shared"); err != nil {
		t.Error("a class that was not the container's is gone")
	}
	for _, f := range []string{"tasks", "schemata"} {
		os.Remove(filepath.Join(c.dir, "box", f))
	}
	c.leave(own, "box")
	if _, err := os.Stat(c.dir + "/box"); err == nil {
		t.Error("the container's class stays")
	}
}
