package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// helloSpec is examples/hello.json with another name and host port.
func helloSpec(t testing.TB) (name, path, address string) {
	t.Helper()
	name = newName(t)
	data, err := os.ReadFile("../examples/hello.json")
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	text := strings.Replace(string(data), `"hostPort": 8080`, fmt.Sprintf(`"hostPort": %d`, port), 1)
	text = strings.Replace(text, `"name": "hello"`, fmt.Sprintf(`"name": %q`, name), 1)
	if !json.Valid([]byte(text)) || strings.Count(text, fmt.Sprint(port)) != 1 {
		t.Fatalf("examples/hello.json is not what it was: %s", text)
	}
	path = filepath.Join(t.TempDir(), "hello.json")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name, path, fmt.Sprintf("http://127.0.0.1:%d", port)
}

func get(t testing.TB, url string) string {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v", url, r.Status, err)
	}
	return string(b)
}

// The README's example: two containers that talk over localhost, a counter in
// the second one, an address on the host; Ctrl-C, and nothing is left.
func TestHello(t *testing.T) {
	name, path, address := helloSpec(t)
	begun := time.Now()
	p := begin(t, command(t, "pod", "run", path))
	p.sees(strings.TrimPrefix(address, "http://"))
	page := get(t, address+"/")
	t.Logf("answered %s after the command's start", time.Since(begun).Round(time.Millisecond))
	if !strings.Contains(page, name) {
		t.Errorf("the page does not tell the pod's name: %s", page)
	}
	// The back end may begin to listen a moment after the front end.
	testkit.Eventually(t, "the counter counts", func() bool { return visits(get(t, address+"/")) > 0 })
	if first, second := visits(get(t, address+"/")), visits(get(t, address+"/")); second != first+1 {
		t.Errorf("the counter does not count: %d, then %d", first, second)
	}
	p.cmd.Process.Signal(unix.SIGINT)
	if code := p.status(); code != 0 {
		t.Errorf("exit status %d after Ctrl-C: %s", code, p.seen.String())
	}
	nothingOf(t, name)
	if images, _ := filepath.Glob(filepath.Join(testkit.Scratch(), "data/images/*")); len(images) > 0 {
		t.Errorf("%q are left", images)
	}
	if _, err := http.Get(address); err == nil {
		t.Error("the port still answers")
	}
}

// visits is what the back end counted, as the page shows it; 0 where it does
// not answer.
func visits(page string) int {
	found := regexp.MustCompile(`(?m)^visits +(\d+)$`).FindStringSubmatch(page)
	if found == nil {
		return 0
	}
	n, _ := strconv.Atoi(found[1])
	return n
}

// nothingOf checks that a pod left nothing behind.
func nothingOf(t testing.TB, name string) {
	t.Helper()
	whole := regexp.MustCompile(regexp.QuoteMeta(name) + `($|\D)`) // test-1 is no part of test-10
	testkit.Until(t, func() (left string) {
		for _, what := range append(testkit.Outside(testkit.Mark), registered()...) {
			if whole.MatchString(what) {
				left += "left of pod " + name + ": " + what + "\n"
			}
		}
		return left
	})
}

// The commands of a detached pod.
func TestHelloDetached(t *testing.T) {
	name, path, address := helloSpec(t)
	if got := peapod(t, "pod", "run", "-d", path).ok(); got != name {
		t.Errorf("run -d printed %q", got)
	}
	get(t, address+"/")
	if got := peapod(t, "pod", "ps").ok(); !strings.Contains(got, name) || !strings.Contains(got, "2/2") || !strings.Contains(got, "Running") {
		t.Errorf("ps: %s", got)
	}
	if got := peapod(t, "pod", "port", name, "http").ok(); "http://"+got != address {
		t.Errorf("port: %s", got)
	}
	for _, want := range []string{"supervisor.log", `"phase": "Running"`, "containerStatuses"} {
		if got := peapod(t, "pod", "inspect", name).ok(); !strings.Contains(got, want) {
			t.Errorf("inspect has no %s: %s", want, got)
		}
	}
	follow := begin(t, command(t, "pod", "logs", "-f", name))
	follow.sees("kv")
	peapod(t, "pod", "exec", name, "--", "/bin/peapod", "--version").ok()
	peapod(t, "pod", "exec", "-c", "kv", name, "--", "nothing").wants(127, "nothing")
	peapod(t, "pod", "exec", "-c", "kv", name, "--", "/tmp").wants(126, "/tmp")
	wait := begin(t, command(t, "pod", "wait", name))
	peapod(t, "pod", "rm", name).wants(1, name, "running")
	peapod(t, "pod", "stop", name).ok()
	if code := follow.status(); code != 0 {
		t.Errorf("logs -f: status %d", code)
	}
	if code := wait.status(); code != 0 {
		t.Errorf("wait: status %d", code)
	}
	peapod(t, "pod", "rm", name).ok()
	nothingOf(t, name)
}

// The grace period of pod stop holds for pods in the foreground too.
func TestStopForeground(t *testing.T) {
	name, path := podSpec(t, probing("wait"))
	p := begin(t, command(t, "pod", "run", path))
	p.sees("a | ready")
	testkit.Eventually(t, "it runs", func() bool { return strings.Contains(peapod(t, "pod", "ps").ok(), "Running") })
	peapod(t, "kill", name+".a", "STOP").ok()
	begun := time.Now()
	peapod(t, "pod", "stop", "-t", "0", name).ok()
	p.status()
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("pod stop -t 0 took %v", took)
	}
	nothingOf(t, name)
}
