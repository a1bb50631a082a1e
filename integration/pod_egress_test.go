package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// outside is a host of a test's own: a default route, a server at 10.88.0.1:9000,
// and the device that interfaces are made with. "$@" is run there as a user.
const outside = `mkdir -p /dev/net
mount -t tmpfs tun /dev/net
mknod -m 666 /dev/net/tun c 10 200
ip link set lo up
ip link add up0 type veth peer name up1
ip link set up0 up
ip link set up1 up
ip addr add 10.77.0.1/24 dev up0
ip addr add 10.88.0.1/32 dev lo
ip route add default via 10.77.0.2
"$PROBE" listen 10.88.0.1:9000 "from outside" ";" wait >/dev/null &
code=0
setpriv --reuid $USERID --regid $USERID --clear-groups "$@" || code=$?
kill $!
exit $code`

// egress runs peapod outside, as the ordinary user or, with uid 0, as root.
func (o *ordinary) egress(uid int, args ...string) *result {
	o.t.Helper()
	for _, name := range []string{"pasta", "slirp4netns", "ip"} {
		needCommand(o.t, name)
	}
	cmd := exec.CommandContext(testkit.Soon(o.t), "unshare", append([]string{"-mn", "sh", "-ec", outside, "sh", binary}, args...)...)
	cmd.Env, cmd.Dir = append(o.env(), "PROBE="+testkit.Probe(o.t), "USERID="+strconv.Itoa(uid)), o.home
	return finish(o.t, cmd)
}

// A pod gets out by programs in user mode.
func TestEgress(t *testing.T) {
	o := newOrdinary(t)
	path := o.manifest(o.pod("p", nil, probing("connect", "10.88.0.1:9000")))
	for network, addr := range map[string]string{"pasta": "10.77.0.1", "slirp4netns": "10.0.2.100"} {
		if got := o.egress(65534, "pod", "run", "--network", network, path); !strings.Contains(got.ok(), "from outside") {
			t.Errorf("%s: the pod says %q", network, got.stdout)
		}
		o.gone()
		root := []string{"--root", filepath.Join(o.home, "root"), "--data", filepath.Join(o.home, "rootdata"), "pod", "run", "--network", network}
		if got := o.egress(0, append(root, path)...); !strings.Contains(got.ok(), "from outside") {
			t.Errorf("%s as root: the pod says %q", network, got.stdout)
		}
		o.leavesNothing(network, addr)
	}
	// What is installed is used where nothing was asked for.
	if got := o.egress(65534, "pod", "run", path); !strings.Contains(got.ok(), "from outside") {
		t.Errorf("without --network: the pod says %q", got.stdout)
	}
	o.gone()
}

// leavesNothing kills a supervisor and waits for the end of the program that its
// pod gets out by.
func (o *ordinary) leavesNothing(network, addr string) {
	t := o.t
	t.Helper()
	o.egress(65534, "pod", "run", "-d", "--network", network, o.manifest(o.pod("p", nil, probing("wait")))).ok()
	status := decode[struct {
		PodIP      string `json:"podIP"`
		Supervisor struct {
			PID int `json:"pid"`
		} `json:"supervisor"`
	}](t, read(t, filepath.Join(o.home, "run/peapod/pods/p/status.json")))
	if status.PodIP != addr {
		t.Errorf("%s: the pod has address %s, want %s", network, status.PodIP, addr)
	}
	out, err := exec.Command("pgrep", "-f", "-P", strconv.Itoa(status.Supervisor.PID), "^"+network).Output()
	if err != nil {
		t.Fatalf("%s does not run: %v", network, err)
	}
	unix.Kill(status.Supervisor.PID, unix.SIGKILL)
	testkit.Eventually(t, network+" has ended", func() bool {
		_, err := os.Stat("/proc/" + strings.TrimSpace(string(out)))
		return err != nil
	})
	o.peapod("pod", "rm", "--force", "p").ok()
	o.gone()
}
