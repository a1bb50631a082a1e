package runtime

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/peapod/peapod/cgroups"
	"github.com/peapod/peapod/internal/testkit"
)

// onPlain2 are the tests that depend on the kind of cgroups. Limits are not
// among them: on a hybrid host v1 has taken the controllers.
const onPlain2 = "^(TestDefaults|TestLife|TestExec|TestExecErrors|TestExecProcess|TestWithoutCgroupNamespace|TestKillAll|TestKillWithParent|TestDeleteForce|TestUserNamespace|TestJoin|TestJoinPID|TestJoinUser|TestFailures|TestCancelled|TestCreatorIsKilled|TestManyAtOnce|TestSetupHasNothingOfParent)$"

// The same holds on a host with cgroup v2 alone: a copy of this binary in a
// mount namespace of its own, where that is mounted over the host's.
func TestPlainCgroup2(t *testing.T) {
	testkit.NeedRoot(t)
	if os.Getenv(plainCgroup2) != "" {
		t.Skip("this is the copy")
	}
	if mode, err := cgroups.HostMode(); err != nil {
		t.Fatal(err)
	} else if mode == cgroups.V2 {
		t.Skip("the host itself has cgroup v2 alone: all tests are about that")
	}
	cmd := exec.Command("/proc/self/exe", "-test.run="+onPlain2, "-test.v")
	cmd.Env = append(os.Environ(), plainCgroup2+"=1")
	// The fork makes the new namespace's mounts private.
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if n := strings.Count(string(out), "\n--- PASS"); n < 15 {
		t.Errorf("%d tests passed\n%s", n, out)
	}
}
