package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/peapod/peapod/integration/internal/results"
)

// The tables name what there is.
func TestTables(t *testing.T) {
	root, err := results.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range machines {
		k, err := findKernel(m.kernel)
		if err != nil {
			t.Errorf("machine %s: %v", m.name, err)
		}
		if p := processors[k.arch]; remedies[p.program] == "" {
			t.Errorf("machine %s: nothing emulates %s, or no package is known", m.name, k.arch)
		}
		if m.cgroups != "v1" && m.cgroups != "v2" {
			t.Errorf("machine %s: cgroups %q", m.name, m.cgroups)
		}
		if list, err := suitesOf(root, m); err != nil || len(list) == 0 {
			t.Errorf("machine %s has nothing to do: %v", m.name, err)
		}
	}
	for _, s := range suites {
		if s.pkg == everyPackage {
			continue
		}
		if found, _ := filepath.Glob(filepath.Join(root, s.pkg, "*_test.go")); len(found) == 0 {
			t.Errorf("%s has no tests", s.pkg)
		}
		if _, err := chooseMachines(strings.ReplaceAll(s.machines, " ", ",")); err != nil {
			t.Errorf("%s: %v", s.pkg, err)
		}
		if (s.skip == "") != (s.why == "") {
			t.Errorf("%s leaves out %q because of %q", s.pkg, s.skip, s.why)
		}
		checkNames(t, root, s)
	}
}

// checkNames looks for tests that are left out or chosen by name: one that has
// another name meanwhile would be run, or not, without a word.
func checkNames(t *testing.T, root string, s suite) {
	t.Helper()
	var text strings.Builder
	files, _ := filepath.Glob(filepath.Join(root, s.pkg, "*_test.go"))
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(data)
	}
	for _, name := range regexp.MustCompile(`Test\w+`).FindAllString(s.run+" "+s.skip, -1) {
		if !strings.Contains(text.String(), "func "+name) {
			t.Errorf("%s has no test whose name begins with %s", s.pkg, name)
		}
	}
}

func TestChoose(t *testing.T) {
	v2, err := suitesOf(t.TempDir(), machines[0])
	if got := choose(v2, "", ""); err != nil || !slices.Equal(got, v2) {
		t.Errorf("of all: %v, %v", got, err)
	}
	for _, s := range choose(v2, "./runtime/", "TestX") {
		if s.pkg != "runtime" || s.run != "TestX" || s.skip != "" {
			t.Errorf("%+v", s)
		}
	}
	if got := choose(v2, "./internal/proc", ""); len(got) != 1 || got[0].pkg != "internal/proc" || got[0].file() != "internal_proc.test" {
		t.Errorf("a package that is in no table: %v", got)
	}
	if _, err := chooseMachines("v3"); err == nil || !strings.Contains(err.Error(), `"v3"`) || !strings.Contains(err.Error(), "v1") {
		t.Error(err)
	}
	list, err := chooseMachines("")
	if err != nil || len(list) == 0 || slices.ContainsFunc(list, func(m machine) bool { return m.request }) {
		t.Errorf("%v, %v", list, err)
	}
}

// Packages are found by their tests' names, but not in images.
func TestEveryPackage(t *testing.T) {
	root := t.TempDir()
	for path, text := range map[string]string{
		"a/x_test.go": "func TestOther(t *testing.T) {}", "b/c/x_test.go": "\nfunc TestTheSystemdDriver(t", "b/x.go": "func TestSystemd(",
		"bin/x_test.go": "func TestSystemd(", "examples/redis/debian/x_test.go": "func TestSystemd(",
	} {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := packagesWith(root, "Systemd"); err != nil || !slices.Equal(got, []string{"b/c"}) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestOptions(t *testing.T) {
	for _, args := range [][]string{{"-run", "("}, {"x"}, {"-nothing"}} {
		if o, err := parseOptions(args); err == nil {
			t.Errorf("%q: %+v", args, o)
		}
	}
}

// What is missing is named together with what has it.
func TestMissingPrograms(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for program, name := range remedies {
		if _, err := need(program); err == nil || !strings.HasSuffix(err.Error(), "apt-get install --no-install-recommends "+name) {
			t.Errorf("%s: %v", program, err)
		}
	}
	if _, err := (&lab{options: &options{}, tmp: t.TempDir()}).prepare(t.Context(), machines[0], nil); err == nil || !strings.Contains(err.Error(), "qemu-system-x86") {
		t.Error(err)
	}
}
