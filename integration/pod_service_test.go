package integration

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// serviceManifest has a service NAME with a host port, and n pods NAME-0 and up
// that answer with their host name.
func serviceManifest(t testing.TB, n int) (name, path string, port int) {
	t.Helper()
	name, port = newName(t), freePort(t)
	t.Cleanup(func() {
		for i := range n {
			peapod(t, "pod", "rm", "--force", fmt.Sprintf("%s-%d", name, i)).ok()
		}
	})
	name = strings.ToLower(name)
	text := fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: s%[1]s, annotations: {peapod.dev/host-port: "127.0.0.1:%[2]d"}}
spec: {selector: {app: %[1]s}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s}
spec:
  replicas: %[3]d
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
      - name: web
        image: %[4]s
        command: [probe, listen, "0.0.0.0:80", $(NAME), ;, hold]
        env: [{name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
        ports: [{name: http, containerPort: 80}]
        readinessProbe: {tcpSocket: {port: http}, periodSeconds: 1}
`, name, port, n, newRoot(t))
	path = filepath.Join(t.TempDir(), "service.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name, path, port
}

// answer is what the service says to a client, or "".
func answer(addr string) string {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return ""
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	if err != nil {
		return ""
	}
	return string(b)
}

// who are those that answer for a service.
func who(addr string) (names []string) {
	for range 30 {
		if name := answer(addr); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// A service of one process is reached from pods of another, follows its pods
// without a failed request, and is gone when its process is killed.
func TestServices(t *testing.T) {
	name, path, port := serviceManifest(t, 3)
	addr := net.JoinHostPort("127.0.0.1", fmt.Sprint(port))
	pods := []string{name + "-0", name + "-1", name + "-2"}
	peapod(t, "pod", "run", "-d", path).ok()
	testkit.Eventually(t, "all three answer", func() bool { return slices.Equal(who(addr), pods) })

	client, clientPath := podSpec(t, probing("connect", "s"+name+":80"))
	if got := peapod(t, "pod", "run", clientPath).ok(); !strings.Contains(got, name+"-") {
		t.Errorf("a pod of another process gets %q", got)
	}
	nothingOf(t, client)

	// One after the other is stopped, under load.
	stop, failed := make(chan struct{}), 0
	var load sync.WaitGroup
	var mu sync.Mutex
	for range 4 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if answer(addr) == "" {
					mu.Lock()
					failed++
					mu.Unlock()
				}
			}
		})
	}
	peapod(t, "pod", "stop", pods[0]).ok()
	peapod(t, "pod", "stop", pods[1]).ok()
	time.Sleep(100 * time.Millisecond) // some more load
	close(stop)
	load.Wait()
	if failed != 0 {
		t.Errorf("%d requests failed while two of three pods were stopped", failed)
	}
	if got := who(addr); !slices.Equal(got, pods[2:]) {
		t.Errorf("%q answer, want %q", got, pods[2:])
	}

	// Its process is killed.
	trace := &podTrace{name: pods[2]}
	id, err := trace.supervisor()
	if err != nil {
		t.Fatal(err)
	}
	unix.Kill(id.PID, unix.SIGKILL)
	testkit.Eventually(t, "nobody answers", func() bool { return answer(addr) == "" })
	_, clientPath = podSpec(t, probing("connect", "s"+name+":80"))
	if got := peapod(t, "pod", "run", clientPath).ok(); strings.Contains(got, name+"-") {
		t.Errorf("a service that has gone answers %q", got)
	}
	peapod(t, append([]string{"pod", "rm", "-f"}, pods...)...).ok()
	if left, _ := os.ReadDir(filepath.Join(testkit.Scratch(), "state", "services")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
