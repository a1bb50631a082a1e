package integration

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit/report"
)

// groupOf is the group of v2 that a process was executed in.
func groupOf(t testing.TB, id string, options ...string) string {
	t.Helper()
	args := append(append([]string{"exec"}, options...), id, "probe", "report")
	r := decode[report.Process](t, peapod(t, args...).ok())
	_, group, _ := strings.Cut("\n"+r.Cgroup, "\n0::")
	group, _, _ = strings.Cut(group, "\n")
	return group
}

// A container that has made groups and given them limits, as one with systemd
// does, is in one of them: the kernel lets no process into its own any more.
func TestExecFollowsInit(t *testing.T) {
	id := detached(t, limitOn2(t))
	pid := stateOf(t, id).Pid
	group := groupDir(t, pid)
	own := groupOf(t, id)
	inner := filepath.Join(group, "init")
	if err := os.Mkdir(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(inner, "cgroup.procs"), strconv.Itoa(pid))
	put(t, filepath.Join(group, "cgroup.subtree_control"), "+"+strings.Fields(read(t, filepath.Join(group, "cgroup.controllers")))[0])
	if got := groupOf(t, id); got != own+"/init" {
		t.Errorf("executed in %s, want %s/init", got, own)
	}
	// What is asked for is not replaced.
	peapod(t, "exec", "--cgroup", "/", id, "probe", "echo").wants(255, "busy", "has limits below it")
	if onVersion1(t) { // --cgroup without a controller is for all hierarchies
		peapod(t, "exec", "--cgroup", "init", id, "probe", "echo").wants(255, "no such group")
	} else if got := groupOf(t, id, "--cgroup", "init"); got != own+"/init" {
		t.Errorf("--cgroup init: executed in %s", got)
	}
}

// limitOn2 gives a limit that is one of v2, also where v1 has most controllers.
func limitOn2(t testing.TB) func(*specs.Spec) {
	t.Helper()
	for _, mount := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		text, err := os.ReadFile(mount + "/cgroup.controllers")
		if err != nil {
			continue
		}
		for _, limit := range [][2]string{{"pids.max", "1000"}, {"hugetlb.2MB.max", "209715200"}} {
			if controller, _, _ := strings.Cut(limit[0], "."); slices.Contains(strings.Fields(string(text)), controller) {
				return func(s *specs.Spec) {
					onHostGroups(s)
					s.Linux.Resources.Unified = map[string]string{limit[0]: limit[1]}
				}
			}
		}
	}
	t.Skip("cgroup v2 has no controller here: v1 has them all")
	return nil
}

// onHostGroups leaves the container in the host's cgroup namespace.
func onHostGroups(s *specs.Spec) {
	s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.CgroupNamespace })
}

func put(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// onVersion1 tells whether there are hierarchies of v1.
func onVersion1(t testing.TB) bool {
	t.Helper()
	return strings.Contains(read(t, "/proc/self/cgroup"), ":memory:")
}

func TestExecGroup(t *testing.T) {
	id := detached(t, onHostGroups)
	pid := stateOf(t, id).Pid
	peapod(t, "exec", "--cgroup", "none", id, "probe", "echo").wants(255, "none", "no such group")
	peapod(t, "exec", "--cgroup", "nope:x", id, "probe", "echo").wants(255, "nope")
	peapod(t, "exec", "--cgroup", "a", "--cgroup", "b", id, "probe", "echo").wants(255, "cpu,memory:")
	peapod(t, "exec", "--cgroup", "memory:a:b", id, "probe", "echo").wants(255, "[CONTROLLERS:]PATH")
	if !onVersion1(t) {
		dir := groupDir(t, pid)
		if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
			t.Fatal(err)
		}
		if got := groupOf(t, id, "--cgroup", "../sub"); !strings.HasSuffix(got, "/sub") || filepath.Base(filepath.Dir(got)) != filepath.Base(dir) {
			t.Errorf("executed in %s", got)
		}
		peapod(t, "exec", "--cgroup", "memory:sub", id, "probe", "echo").wants(255, "memory")
		return
	}
	_, path, _ := strings.Cut(read(t, "/proc/"+strconv.Itoa(pid)+"/cgroup"), ":memory:")
	path, _, _ = strings.Cut(path, "\n")
	if err := os.Mkdir("/sys/fs/cgroup/memory"+path+"/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	r := decode[report.Process](t, peapod(t, "exec", "--cgroup", "memory:../sub", id, "probe", "report").ok())
	for _, want := range []string{":memory:" + path + "/sub\n", ":pids:" + path + "\n"} {
		if !strings.Contains(r.Cgroup, want) {
			t.Errorf("no %q in %s", want, r.Cgroup)
		}
	}
}
