package integration

import (
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/testkit"
	"github.com/peapod/peapod/internal/testkit/report"
)

// A container cannot have what its creator has not: it goes without, and its
// creator is told.
func TestLackingCapability(t *testing.T) {
	lack, err := testkit.Build("lack")
	if err != nil {
		t.Fatal(err)
	}
	// without runs peapod without CAP_NET_RAW.
	without := func(args ...string) *result {
		cmd := command(t, args...)
		cmd.Path, cmd.Args = lack, append([]string{"lack", strconv.Itoa(unix.CAP_NET_RAW)}, cmd.Args...)
		return finish(t, cmd)
	}
	caps := []string{"CAP_KILL", "CAP_NET_RAW"}
	const kill = "0000000000000020"
	check := func(r *result) {
		t.Helper()
		status := decode[report.Process](t, r.ok()).Status
		for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
			if status[set] != kill {
				t.Errorf("%v: %s is %s, want %s", r.args, set, status[set], kill)
			}
		}
		if strings.Count(r.stderr, "CAP_NET_RAW") != 1 || strings.Contains(r.stderr, "CAP_KILL") {
			t.Errorf("%v: warned with %q", r.args, r.stderr)
		}
	}
	all := func(s *specs.Spec) {
		s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps, Inheritable: caps, Ambient: caps}
	}
	check(without("run", "--bundle", newBundle(t, all, "report"), newName(t)))
	id := detached(t, all)
	check(without("exec", id, "probe", "report"))

	// Who has it passes it on, without a word.
	r := peapod(t, "exec", id, "probe", "report")
	if got := decode[report.Process](t, r.ok()).Status["CapEff"]; got != "0000000000002020" || r.stderr != "" {
		t.Errorf("CapEff %s, stderr %q", got, r.stderr)
	}
	// A user namespace of its own has all.
	inUser := func(s *specs.Spec) {
		all(s)
		ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 0, Size: 1000}}
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		s.Linux.UIDMappings, s.Linux.GIDMappings = ids, ids
	}
	r = without("run", "--bundle", newBundle(t, inUser, "report"), newName(t))
	if got := decode[report.Process](t, r.ok()).Status["CapEff"]; got != "0000000000002020" || r.stderr != "" {
		t.Errorf("in a user namespace: CapEff %s, stderr %q", got, r.stderr)
	}
}
