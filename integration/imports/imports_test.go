// Package imports checks what the packages of this module import, and a few
// other rules about the sources that a compiler does not know. It needs no root.
package imports

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "github.com/peapod/peapod"
	top    = "../.."
	// testkit is what tests share, and the programs that they run.
	testkit = "internal/testkit"
)

// forbidden are the arrows that would point upwards or sideways. A name stands
// for the package and all below it; "*" is every package of this module.
var forbidden = []struct{ from, to, why string }{
	{"*", "cmd", "a command is the top: nothing can be built on it"},
	{"*", "integration", "tests are not part of the product"},
	{"runtime", "pod", "the life of one container knows nothing of pods"},
	{"runtime", "proxy", "a container has no services"},
	{"proxy", "*", "the proxy is of use without containers: it gets its sockets from functions"},
	{"cgroups", "pod", "a leaf"}, {"cgroups", "runtime", "a leaf"}, {"cgroups", "proxy", "a leaf"},
	{"cgroups", "namespaces", "the leaves are understood one by one"}, {"cgroups", "rootfs", "the leaves are understood one by one"},
	{"namespaces", "pod", "a leaf"}, {"namespaces", "runtime", "a leaf"}, {"namespaces", "proxy", "a leaf"},
	{"namespaces", "cgroups", "the leaves are understood one by one"}, {"namespaces", "rootfs", "the leaves are understood one by one"},
	{"rootfs", "pod", "a leaf"}, {"rootfs", "runtime", "a leaf"}, {"rootfs", "proxy", "a leaf"},
	{"rootfs", "cgroups", "the leaves are understood one by one"}, {"rootfs", "namespaces", "the leaves are understood one by one"},
	{"networks", "pod", "a leaf"}, {"networks", "runtime", "a leaf"}, {"networks", "proxy", "a leaf"},
	{"networks", "cgroups", "the leaves are understood one by one"}, {"networks", "rootfs", "the leaves are understood one by one"},
	{"networks", "namespaces", "it gets the namespace, and the way into it, from its caller"},
	{"cgroups", "networks", "the leaves are understood one by one"}, {"namespaces", "networks", "the leaves are understood one by one"},
	{"rootfs", "networks", "the leaves are understood one by one"},
	{"runtime", "networks", "a container gets its network namespace ready"}, {"internal", "networks", "the bottom"},
	{"internal", "pod", "the bottom"}, {"internal", "runtime", "the bottom"}, {"internal", "proxy", "the bottom"},
	{"internal", "cgroups", "the bottom"}, {"internal", "namespaces", "the bottom"}, {"internal", "rootfs", "the bottom"},
	{"pod", "internal/program", "a pod's containers are made by package runtime"},
	{"pod", "internal/demo", "the demo is one of the images, not a part of pods"},
	{"cmd/peapod", "internal/program", "commands are made of what every program can import"},
}

// outsiders are modules that only some packages may import.
var outsiders = []struct {
	module, why string
	allowed     []string
}{
	{"C", "peapod is one static binary", nil},
	{"github.com/urfave/cli", "a start costs nothing for the command line: internal/cli", nil},
	{"github.com/opencontainers/runc/libcontainer/nsenter", "its init function is a hook in every program", nil},
	{"github.com/checkpoint-restore/go-criu", "its messages are enough", []string{"internal/criu", "runtime"}},
	{"k8s.io", "it would triple the binary and the start time", nil},
}

// proxyMay is all that package proxy imports beside the standard library.
var proxyMay = []string{"golang.org/x/sys/unix"}

// file is a source file, parsed.
type file struct {
	path string // from the top
	dir  string
	test bool
	ast  *ast.File
	set  *token.FileSet
}

func sources(t *testing.T) (list []file) {
	t.Helper()
	set := token.NewFileSet()
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); rel != "." && (strings.HasPrefix(name, ".") || rel == "bin" || rel == filepath.Join("examples", "redis", "debian")) {
				return fs.SkipDir
			}
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil && rel != "." {
				return fs.SkipDir // a module of its own
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		parsed, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		list = append(list, file{rel, filepath.ToSlash(filepath.Dir(rel)), strings.HasSuffix(rel, "_test.go"), parsed, set})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 50 {
		t.Fatalf("found %d sources only", len(list))
	}
	return list
}

func (f *file) imports() (list []string) {
	for _, s := range f.ast.Imports {
		path, _ := strconv.Unquote(s.Path.Value)
		list = append(list, path)
	}
	return list
}

// under reports whether a package is one or below it.
func under(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

func TestArrows(t *testing.T) {
	edges := map[string]map[string]string{} // from, to, a file
	for _, f := range sources(t) {
		for _, path := range f.imports() {
			to, own := strings.CutPrefix(path, module+"/")
			if !own || f.test || strings.Contains(f.dir, "testdata") {
				continue
			}
			if edges[f.dir] == nil {
				edges[f.dir] = map[string]string{}
			}
			edges[f.dir][to] = f.path
		}
	}
	for from, list := range edges {
		for to, where := range list {
			for _, rule := range forbidden {
				covers := rule.from == "*" && !under(from, "integration") && !under(from, "cmd") || under(from, rule.from)
				if covers && !under(to, from) && (rule.to == "*" || under(to, rule.to)) {
					t.Errorf("%s imports %s (%s), which it must not: %s", from, to, where, rule.why)
				}
			}
		}
	}
	// The arrows that the design is made of: if they are not found, nothing is.
	for _, arrow := range [][2]string{{"cmd/peapod", "pod"}, {"pod", "runtime"}, {"pod", "proxy"}, {"runtime", "cgroups"}, {"runtime", "rootfs"}, {"rootfs", "internal/program"}} {
		if edges[arrow[0]][arrow[1]] == "" {
			t.Errorf("%s does not import %s any more: mend this test", arrow[0], arrow[1])
		}
	}
}

// What tests share is no part of the product: package testing comes with it.
func TestTestkit(t *testing.T) {
	users := 0
	for _, f := range sources(t) {
		for _, path := range f.imports() {
			if !under(path, module+"/"+testkit) || under(f.dir, testkit) {
				continue
			}
			users++
			if !f.test && !under(f.dir, "integration") {
				t.Errorf("%s imports %s, which is for tests only", f.path, path)
			}
		}
	}
	if users < 10 {
		t.Errorf("%d files import %s: mend this test", users, testkit)
	}
}

func TestOutsiders(t *testing.T) {
	for _, f := range sources(t) {
		for _, path := range f.imports() {
			for _, rule := range outsiders {
				if under(path, rule.module) && !slices.ContainsFunc(rule.allowed, func(dir string) bool { return under(f.dir, dir) }) {
					t.Errorf("%s imports %s: %s", f.path, path, rule.why)
				}
			}
			standard := !strings.Contains(strings.Split(path, "/")[0], ".")
			if f.dir == "proxy" && !f.test && !standard && !slices.Contains(proxyMay, path) {
				t.Errorf("%s imports %s: the proxy needs the standard library and %v only", f.path, path, proxyMay)
			}
		}
	}
}

// Unsafe code is where it is looked for.
func TestUnsafe(t *testing.T) {
	for _, f := range sources(t) {
		if f.test || under(f.dir, "internal") || strings.HasSuffix(f.path, "_unsafe.go") || under(f.dir, "integration") {
			continue
		}
		if slices.Contains(f.imports(), "unsafe") {
			t.Errorf("%s imports unsafe: such code is in files *_unsafe.go or in internal/", f.path)
		}
		for _, call := range selectors(&f) {
			switch call.name {
			case "unix.Syscall", "unix.Syscall6", "unix.RawSyscall", "unix.RawSyscall6", "syscall.Syscall", "syscall.Syscall6", "syscall.RawSyscall", "syscall.RawSyscall6":
				t.Errorf("%s: %s is in files *_unsafe.go or in internal/", call.at, call.name)
			}
		}
	}
}

// A library does not end the program, nor write to what belongs to that.
func TestManners(t *testing.T) {
	exits := map[string]bool{}
	for _, f := range sources(t) {
		if f.test || strings.Contains(f.dir, "testdata") || under(f.dir, "integration") || under(f.dir, "examples") || under(f.dir, testkit) ||
			strings.HasSuffix(f.dir, "/generate") { // programs of their own
			continue
		}
		for _, use := range selectors(&f) {
			switch use.name {
			case "os.Exit":
				if f.path != "cmd/peapod/main.go" {
					t.Errorf("%s: os.Exit is in cmd/peapod/main.go only", use.at)
				}
				exits[f.path] = true
			case "log.Print", "log.Printf", "log.Println", "log.Fatal", "log.Fatalf", "log.Panic", "slog.Info", "slog.Warn", "slog.Error", "slog.Debug", "slog.Default":
				t.Errorf("%s: %s: loggers are passed, not global", use.at, use.name)
			case "unix.Setns":
				if f.dir != "namespaces" {
					t.Errorf("%s: only package namespaces calls setns on a Go thread", use.at)
				}
			}
		}
	}
	if len(exits) != 1 {
		t.Errorf("os.Exit is in %v", slices.Collect(maps.Keys(exits)))
	}
}

type use struct{ name, at string }

// selectors are all uses of a name of another package.
func selectors(f *file) (list []use) {
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok {
				list = append(list, use{x.Name + "." + s.Sel.Name, f.set.Position(s.Pos()).String()})
			}
		}
		return true
	})
	return list
}
