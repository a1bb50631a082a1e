package cgroups

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestUnitOf(t *testing.T) {
	const top = "/user.slice/user-7.slice/user@7.service"
	for path, want := range map[string]string{
		top + "/user.slice/peapod-x.scope":                      "peapod-x.scope ",
		top + "/user.slice/peapod-x.pod.scope/web":              "peapod-x.pod.scope /web",
		top + "/app.slice/app-a.slice/s.service/peapod/p/web":   "s.service /peapod/p/web",
		top + "/app.slice/s.service/below.scope/x":              "s.service /below.scope/x",
		top + "/app.slice":                                      " ",
		top:                                                     " ",
		"/user.slice/user-8.slice/user@8.service/a.scope":       " ",
		"/lab/peapod/c.container":                               " ",
		"/lxc/a/user.slice/user-7.slice/user@7.service/a.scope": "a.scope ",
	} {
		if unit, sub := unitOf(path, managerName(7)); unit+" "+sub != want {
			t.Errorf("%s: %q %q, not %q", path, unit, sub, want)
		}
	}
}

func TestCommonGroup(t *testing.T) {
	for _, c := range [][3]string{
		{"/a/b/c", "/a/b/d", "/a/b"}, {"/a/b", "/a/bc", "/a"}, {"/a", "/a/b", "/a"}, {"/a/b", "/a", "/a"}, {"/a", "/b", ""}, {"", "/a", ""}, {"/a", "", ""},
	} {
		if got := commonGroup(c[0], c[1]); got != c[2] {
			t.Errorf("%s and %s: %q", c[0], c[1], got)
		}
	}
}

// TestHomeOnOne: v1 is not delegated, and that is said before anything else.
func TestHomeOnOne(t *testing.T) {
	for _, mode := range []Mode{V1, Hybrid} {
		_, err := (&host{mode: mode}).home(true)
		if !errors.Is(err, ErrNotDelegated) || !strings.Contains(fmt.Sprint(err), "unified_cgroup_hierarchy") {
			t.Errorf("%v: %v", mode, err)
		}
	}
}

// TestWithheld: a controller that was not delegated is told from one that there is not.
func TestWithheld(t *testing.T) {
	h := &host{mode: V2, unified: t.TempDir(), top: "/user@7.service"}
	if err := os.Mkdir(h.unified+h.top, 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, h.unified+"/cgroup.controllers", "cpu io memory\n")
	put(t, h.unified+h.top+"/cgroup.controllers", "cpu\n")
	for _, test := range []struct {
		r    *specs.LinuxResources
		want string
	}{
		{&specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: p[uint64](7)}}, ""},
		{&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: p[int64](1)}}, "it is not delegated to this user, the group /user@7.service has cpu"},
		{&specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: p[uint16](10)}}, "the io controller is not available: it is not delegated"},
		{&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: p[int64](1)}}, "pids limit asked for, but the pids controller is not available: on v1"},
	} {
		_, err := h.plan(&Options{Resources: test.r})
		if test.want == "" && err != nil || test.want != "" && (!errors.Is(err, ErrNoController) || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%v, not %q", err, test.want)
		}
		var left int
		if _, err := h.plan(&Options{Resources: test.r, BestEffort: true, LeftOut: func(error) { left++ }}); err != nil || left != min(len(test.want), 1) {
			t.Errorf("best effort: %v, %d left out", err, left)
		}
	}
}

func TestHomeGroup(t *testing.T) {
	if got := (Home{base: "/lab"}).Group("web"); got != "/lab/peapod/web" {
		t.Error(got)
	}
	scope := (Home{scope: true}).Group("a+b.pod")
	if got, err := Place(scope); err != nil || !IsScope(scope) || !strings.HasSuffix(got, `/peapod-a\x2bb.pod.scope`) {
		t.Error(scope, got, err)
	}
}
