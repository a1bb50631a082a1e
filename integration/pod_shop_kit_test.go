package integration

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
	"github.com/peapod/peapod/namespaces"
	"golang.org/x/sys/unix"
)

// shop is examples/shop on a host network of its own.
type shop struct {
	t                      testing.TB
	net                    *os.File
	dir                    string
	items                  []map[string]any // of the manifest
	web, worker, db, queue string           // names of the Deployments
	address                netip.AddrPort   // of the service web
	inside                 *os.File         // the network of a pod
}

// newShop makes what it needs.
func newShop(t testing.TB) *shop {
	t.Helper()
	s := &shop{t: t, dir: t.TempDir(), web: newName(t), worker: newName(t), db: newName(t), queue: newName(t)}
	s.manifest()
	set, err := namespaces.Options{Loopback: true}.New(namespaces.Network)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { set.Close() })
	s.net = set.File(namespaces.Network)
	t.Cleanup(func() {
		for _, name := range s.pods() {
			if t.Failed() {
				r := peapod(t, "pod", "logs", "--tail", "20", name)
				t.Logf("%s:\n%s%s", name, r.stdout, r.stderr)
			}
			peapod(t, "pod", "rm", "--force", name).ok()
		}
	})
	return s
}

// start runs it, and waits until all of it is ready.
func (s *shop) start() {
	s.t.Helper()
	s.run("shop.json", map[string]any{"apiVersion": "v1", "kind": "List", "items": s.items})
	for _, name := range s.pods() {
		s.awaitReady(name, 0)
	}
	ip := peapod(s.t, "pod", "exec", s.web+"-0", "--", "printenv", "WEB_SERVICE_HOST").ok()
	s.address = netip.AddrPortFrom(netip.MustParseAddr(ip), 80)
	b := &buyer{shop: s}
	if status, _, err := b.ask("GET", "/ready", ""); status != http.StatusOK {
		s.t.Fatalf("not ready at the service's address: %d, %v", status, err)
	}
	conn, err := namespaces.Dial(testkit.Soon(s.t), s.net, "tcp", netip.MustParseAddrPort("127.0.0.1:8080"))
	if err != nil {
		s.t.Fatalf("the host port: %v", err)
	}
	conn.Close()
	worker := inspect(s.t, s.worker+"-0").Status.Supervisor
	if s.inside, err = namespaces.Open(namespaces.Network, fmt.Sprintf("/proc/%d/fd/%d", worker.PID, worker.Netns)); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { s.inside.Close() })
}

// end stops and removes it, and looks for what is left.
func (s *shop) end() {
	s.t.Helper()
	peapod(s.t, append([]string{"pod", "stop"}, s.pods()...)...).ok()
	peapod(s.t, append([]string{"pod", "rm"}, s.pods()...)...).ok()
	for _, name := range s.pods() {
		nothingOf(s.t, name)
	}
	if left, _ := filepath.Glob(filepath.Join(os.Getenv("PEAPOD_ROOT"), "services", "*")); len(left) > 0 {
		s.t.Errorf("services are left: %q", left)
	}
}

// manifest reads the example's, gives the deployments names of the test's own,
// and the shop a directory for what it keeps.
func (s *shop) manifest() {
	s.t.Helper()
	example, err := filepath.Abs("../examples/shop")
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(example, "images")); err != nil {
		if os.Getenv("CI") != "" {
			s.t.Fatal(err)
		}
		s.t.Skip("the images of examples/shop are not there: make examples/shop/images makes them, and .ci/run does")
	}
	// The images are there: it makes the data only.
	build := exec.CommandContext(testkit.Soon(s.t), filepath.Join(example, "build"))
	build.Env = append(os.Environ(), "SHOP_DATA="+filepath.Join(s.dir, "data"))
	if out, err := build.CombinedOutput(); err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
	text := strings.ReplaceAll(read(s.t, filepath.Join(example, "shop.json")), `"./images/`, `"`+example+"/images/")
	s.items = decode[struct{ Items []map[string]any }](s.t, text).Items
	names := map[any]string{"web": s.web, "worker": s.worker, "db": s.db, "queue": s.queue}
	for _, item := range s.items {
		if metadata := item["metadata"].(map[string]any); item["kind"] == "Deployment" {
			if metadata["name"] == "web" {
				spec := item["spec"].(map[string]any)
				spec["replicas"] = 3
				spec["strategy"] = map[string]any{"rollingUpdate": map[string]any{"maxSurge": 2, "maxUnavailable": 0}}
			}
			metadata["name"] = names[metadata["name"]]
		}
	}
}

// take takes an object out of the manifest.
func (s *shop) take(kind, name string) (object map[string]any) {
	s.t.Helper()
	i := slices.IndexFunc(s.items, func(item map[string]any) bool {
		return item["kind"] == kind && item["metadata"].(map[string]any)["name"] == name
	})
	if i < 0 {
		s.t.Fatalf("shop.json has no %s %s", kind, name)
	}
	object = s.items[i]
	s.items = slices.Delete(s.items, i, i+1)
	return object
}

func templateOf(deployment map[string]any) map[string]any {
	return deployment["spec"].(map[string]any)["template"].(map[string]any)
}

// run runs a manifest in the host's network that is the shop's.
func (s *shop) run(file string, manifest any) {
	s.t.Helper()
	path := filepath.Join(s.dir, file)
	writeJSON(s.t, path, manifest)
	var r *result
	err := namespaces.Do(s.net, func() error {
		r = finish(s.t, command(s.t, "pod", "run", "-d", path))
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	r.ok()
}

func (s *shop) pods() []string {
	return []string{s.web + "-0", s.web + "-1", s.web + "-2", s.worker + "-0", s.queue + "-0", s.db + "-0"}
}

// awaitReady waits until the pod is ready and its container has been started
// again so often.
func (s *shop) awaitReady(name string, restarts int) {
	s.t.Helper()
	testkit.Until(s.t, func() string {
		text := peapod(s.t, "pod", "inspect", name).ok()
		status := decode[struct {
			Status struct {
				Conditions        []struct{ Type, Status string }
				ContainerStatuses []struct{ RestartCount int }
			}
		}](s.t, text).Status
		for _, c := range status.Conditions {
			if c.Type == "Ready" && c.Status == "True" && status.ContainerStatuses[0].RestartCount >= restarts {
				return ""
			}
		}
		return fmt.Sprintf("%s is not ready after %d restarts: %s", name, restarts, text)
	})
}

// signal sends one to a container's process from outside.
func (s *shop) signal(container string, sig unix.Signal) {
	s.t.Helper()
	if err := unix.Kill(stateOf(s.t, container).Pid, sig); err != nil {
		s.t.Fatal(err)
	}
}

// kill kills a container's process, and tells when that had closed its sockets.
func (s *shop) kill(container string) (gone time.Time) {
	s.t.Helper()
	pid := stateOf(s.t, container).Pid
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		s.t.Fatal(err)
	}
	testkit.Eventually(s.t, "the process has ended", func() bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 1000)
		return n == 1 && err == nil
	})
	return time.Now()
}

// dial connects to the service web, from the host or from a pod.
func (s *shop) dial(ctx context.Context, inside bool) (net.Conn, error) {
	from := s.net
	if inside {
		from = s.inside
	}
	return namespaces.Dial(ctx, from, "tcp", s.address)
}
