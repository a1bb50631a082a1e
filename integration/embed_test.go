package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// buildEmbedder builds testdata/embed as a module of its own, outside of the
// tree, that requires this one.
func buildEmbedder(t testing.TB) string {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("Go is not installed, as in emulated machines")
	}
	top, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ours, err := os.ReadFile(filepath.Join(top, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	// The same versions of everything else, so that nothing is downloaded.
	text := regexp.MustCompile(`(?m)^module .*$`).ReplaceAllString(string(ours), "module example.org/embed")
	text = regexp.MustCompile(`(?m)^tool .*$|^tool \((?s:.*?)^\)$`).ReplaceAllString(text, "")
	text += "\nrequire github.com/peapod/peapod v0.0.0\n\nreplace github.com/peapod/peapod => " + top + "\n"
	sum, err := os.ReadFile(filepath.Join(top, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	main, err := os.ReadFile("testdata/embed/main.go")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{"go.mod": text, "go.sum": string(sum), "main.go": string(main)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-o", "embed", ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=mod", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return filepath.Join(dir, "embed")
}

// A program of somebody else runs a pod from its main.
func TestEmbed(t *testing.T) {
	embed := buildEmbedder(t)
	name, path := podSpec(t, probing("echo", "$(FROM)", ";", "stderr", "complaint", ";", "exit", "7"), probing("echo", "$(FROM)"))
	r := finish(t, exec.Command(embed, path))
	r.wants(7)
	for _, want := range []string{"[a stdout] embedder\n", "[a stderr] complaint\n", "[b stdout] embedder\n", `container "a" failed with status 7`} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("no %q in %q", want, r.stdout)
		}
	}
	nothingOf(t, name)
	_, path = podSpec(t, container{"command": []string{"nothing"}})
	finish(t, exec.Command(embed, path)).wants(99, path, `"nothing"`)

	// No second program, no library of the host, no command line in it.
	list := exec.Command("go", "version", "-m", embed)
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, not := range []string{"urfave/cli", "k8s.io", "CGO_ENABLED=1"} {
		if strings.Contains(string(out), not) {
			t.Errorf("the program has %s in it", not)
		}
	}
}
