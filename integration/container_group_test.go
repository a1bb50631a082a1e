package integration

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A cgroup that has processes is another's, and one below a frozen one would never let
// anything run: both are refused, and who is there is left alone.
func TestGroupInUse(t *testing.T) {
	group := newName(t)
	at := func(path string) string {
		return newBundle(t, func(s *specs.Spec) { s.Linux.CgroupsPath = path }, "wait")
	}
	id, other := newName(t), newName(t)
	peapod(t, "run", "-d", "-b", at("/"+group), id).ok()
	t.Cleanup(func() { peapod(t, "delete", "-f", id) })
	refused := func(path string, why ...string) {
		t.Helper()
		for _, command := range []string{"run", "create"} {
			peapod(t, command, "-b", at(path), other).wants(1, append(why, path)...)
			peapod(t, "state", other).wants(1, "does not exist")
		}
	}
	refused("/"+group, "group is in use")
	if s := stateOf(t, id); s.Status != "running" {
		t.Errorf("it is %s", s.Status)
	}
	peapod(t, "pause", id).ok()
	refused("/"+group+"/below", "group is frozen", "thaw it first")
	if s := stateOf(t, id); s.Status != "paused" {
		t.Errorf("it is %s", s.Status)
	}
	peapod(t, "resume", id).ok()
	if got := peapod(t, "exec", id, "probe", "echo", "fine").ok(); got != "fine" {
		t.Errorf("executed: %q", got)
	}
}
