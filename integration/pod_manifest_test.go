package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// manifestOf is examples/probes.yaml with names of the test's own.
func manifestOf(t testing.TB) (web, kv, path string) {
	t.Helper()
	data, err := os.ReadFile("../examples/probes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	web, kv = newName(t), newName(t)
	t.Cleanup(func() { peapod(t, "pod", "rm", "--force", web+"-0", web+"-1").ok() })
	text := strings.NewReplacer("  name: web\n", "  name: "+web+"\n", "  name: kv\n", "  name: "+kv+"\n").Replace(string(data))
	if strings.Count(text, web)+strings.Count(text, kv) != 2 {
		t.Fatalf("examples/probes.yaml is not what it was: %s", text)
	}
	path = filepath.Join(t.TempDir(), "probes.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return web, kv, path
}

// Several pods of one file run under one process and become ready.
func TestManifestForeground(t *testing.T) {
	web, kv, path := manifestOf(t)
	peapod(t, "pod", "run", "--name", "x", path).wants(1, `name "x": there are 3 pods`)
	p := begin(t, command(t, "pod", "run", path))
	for _, text := range []string{
		web + "-0/web | web: listening on 127.0.0.1:8080", web + "-1/web | web: listening on", kv + "/kv",
		"peapod: " + web + "-0/web is ready", "peapod: " + web + "-1/web is ready", "peapod: " + kv + "/kv is ready",
	} {
		p.sees(text)
	}
	p.cmd.Process.Signal(unix.SIGINT)
	p.sees("stopping 3 pods (within 5s; once more to kill)")
	if code := p.status(); code != 0 {
		t.Errorf("status %d", code)
	}
	for _, name := range []string{web + "-0", web + "-1", kv} {
		peapod(t, "pod", "inspect", name).wants(1, name) // nothing is left
	}
}

// Detached, each pod is looked at, stopped and removed by itself.
func TestManifestDetached(t *testing.T) {
	web, kv, path := manifestOf(t)
	names := []string{kv, web + "-0", web + "-1"}
	if got := strings.Fields(peapod(t, "pod", "run", "-d", path).ok()); strings.Join(got, " ") != strings.Join(names, " ") {
		t.Errorf("names %q, want %q", got, names)
	}
	row := func(name string) string {
		for line := range strings.Lines(peapod(t, "pod", "ps").ok()) {
			if fields := strings.Fields(line); fields[0] == name {
				return strings.Join(fields[1:3], " ")
			}
		}
		return "none"
	}
	for _, name := range names {
		testkit.Eventually(t, name+" is ready", func() bool { return row(name) == "1/1 Running" })
	}
	peapod(t, "pod", "stop", web+"-0").ok()
	peapod(t, "pod", "rm", "-f", kv).ok()
	if got := row(web+"-0") + ", " + row(web+"-1") + ", " + row(kv); got != "0/1 Succeeded, 1/1 Running, none" {
		t.Errorf("pods are %s", got)
	}
	peapod(t, "pod", "stop", web+"-1").ok()
	peapod(t, "pod", "rm", web+"-0", web+"-1").ok()
}
