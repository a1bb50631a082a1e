package integration

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
)

var update = flag.Bool("update", false, "write docs/errors.md anew, with runc (RUNC=path) beside it")

// mistake is one that users make, in a bundle that is right otherwise.
type mistake struct {
	title string
	make  func(m *mistaken)
}

// mistaken is the bundle with the mistake.
type mistaken struct {
	t    testing.TB
	dir  string // the bundle
	root string
	spec *specs.Spec
	id   string
	raw  string // of config.json, in place of spec
	// options are further ones of run.
	options []string
	// then is done with a container that runs, in place of run.
	then []string
}

// file makes one in the image.
func (m *mistaken) file(name, text string, mode os.FileMode) {
	m.t.Helper()
	path := filepath.Join(m.root, name)
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(text), mode)
	}
	if err == nil {
		err = os.Chmod(path, mode)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *mistaken) args(args ...string)  { m.spec.Process.Args = args }
func (m *mistaken) mount(mm specs.Mount) { m.spec.Mounts = append(m.spec.Mounts, mm) }
func (m *mistaken) without(namespace specs.LinuxNamespaceType) {
	var list []specs.LinuxNamespace
	for _, n := range m.spec.Linux.Namespaces {
		if n.Type != namespace {
			list = append(list, n)
		}
	}
	m.spec.Linux.Namespaces = list
}

// otherMachine is the header of a program for S/390.
const otherMachine = "\x7fELF\x02\x02\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x16\x00\x00\x00\x01"

var mistakes = []mistake{
	{"A typing error in the command", func(m *mistaken) { m.args("prob") }},
	{"A command that is not in the image", func(m *mistaken) { m.args("/usr/bin/python3") }},
	{"A script whose interpreter is missing", func(m *mistaken) {
		m.file("bin/start", "#!/bin/bash\nexec probe\n", 0o755)
		m.args("start")
	}},
	{"A script with Windows line ends", func(m *mistaken) {
		m.file("bin/start", "#!/bin/probe\r\n", 0o755)
		m.args("start")
	}},
	{"A script without its first line", func(m *mistaken) {
		m.file("bin/start", "echo hello\n", 0o755)
		m.args("start")
	}},
	{"A file that is not executable", func(m *mistaken) {
		m.file("bin/start", "#!/bin/probe\n", 0o644)
		m.args("/bin/start")
	}},
	{"A program for another machine", func(m *mistaken) {
		m.file("bin/start", otherMachine+strings.Repeat("\x00", 200), 0o755)
		m.args("start")
	}},
	{"A directory as the command", func(m *mistaken) { m.args("/etc") }},
	{"A command on a mount with noexec", func(m *mistaken) {
		m.mount(specs.Mount{Destination: "/opt", Type: "bind", Source: m.root + "/bin", Options: []string{"bind", "noexec"}})
		m.args("/opt/probe")
	}},
	{"A working directory that is a file", func(m *mistaken) { m.spec.Process.Cwd = "/bin/probe" }},
	{"A relative working directory", func(m *mistaken) { m.spec.Process.Cwd = "srv" }},
	{"A user that the user namespace does not map", func(m *mistaken) {
		m.spec.Linux.Namespaces = append(m.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		m.spec.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 1000}}
		m.spec.Linux.GIDMappings = m.spec.Linux.UIDMappings
		m.spec.Process.User.UID = 5000
	}},
	{"An image that is not there", func(m *mistaken) { m.spec.Root.Path = "rootfss" }},
	{"A mount whose source is missing", func(m *mistaken) {
		m.mount(specs.Mount{Destination: "/data", Type: "bind", Source: "/srv/no-such-data", Options: []string{"bind"}})
	}},
	{"A mount on a path through a file", func(m *mistaken) {
		m.file("etc/config", "", 0o644)
		m.mount(specs.Mount{Destination: "/etc/config/dir", Type: "tmpfs", Source: "tmpfs"})
	}},
	{"A mount option that does not exist", func(m *mistaken) {
		m.mount(specs.Mount{Destination: "/data", Type: "tmpfs", Source: "tmpfs", Options: []string{"size=12Q"}})
	}},
	{"A file system that does not exist", func(m *mistaken) {
		m.mount(specs.Mount{Destination: "/data", Type: "nfs5", Source: "host:/data"})
	}},
	{"A cgroup below a file", func(m *mistaken) { m.spec.Linux.CgroupsPath = "/cgroup.procs/box" }},
	{"CPUs that the machine does not have", func(m *mistaken) {
		m.spec.Linux.Resources = &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "4000"}}
	}},
	{"A limit above its maximum", func(m *mistaken) {
		m.spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 2048, Hard: 1024}}
	}},
	{"A limit that does not exist", func(m *mistaken) {
		m.spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_FILES", Soft: 1024, Hard: 1024}}
	}},
	{"A sysctl of the host", func(m *mistaken) { m.spec.Linux.Sysctl = map[string]string{"vm.swappiness": "1"} }},
	{"A host name without a namespace for it", func(m *mistaken) { m.without(specs.UTSNamespace) }},
	{"A namespace's path that is none", func(m *mistaken) {
		m.without(specs.NetworkNamespace)
		m.spec.Linux.Namespaces = append(m.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: "/run/netns/none"})
	}},
	{"A comma too many in config.json", func(m *mistaken) { m.raw = "{\n  \"ociVersion\": \"1.2.0\",\n}\n" }},
	{"A number for a text in config.json", func(m *mistaken) {
		m.raw = "{\n  \"ociVersion\": \"1.2.0\",\n  \"process\": {\"args\": \"probe\"}\n}\n"
	}},
	{"A misspelt field in config.json", func(m *mistaken) {
		m.raw = "{\n  \"ociVersion\": \"1.2.0\",\n  \"root\": {\"path\": \"rootfs\"},\n  \"process\": {\"cwd\": \"/\", \"arg\": [\"probe\"]}\n}\n"
	}},
	{"A pid file in a directory that is not there", func(m *mistaken) { m.options = []string{"--pid-file", "/run/none/box.pid"} }},
	{"A bundle that is a file", func(m *mistaken) { m.options = []string{"--bundle", m.dir + "/config.json"} }},
	{"A bundle that is not there", func(m *mistaken) { m.options = []string{"--bundle", m.dir + "x"} }},
	{"A bundle without a config.json", func(m *mistaken) { m.options = []string{"--bundle", m.root} }},
	{"A terminal, and none to connect it to", func(m *mistaken) { m.spec.Process.Terminal = true }},
	{"An id with a slash", func(m *mistaken) { m.id = "shop/web" }},
	{"A container that exists", func(m *mistaken) { m.then = []string{"run", "--bundle", m.dir, m.id} }},
	{"Deleting a container that runs", func(m *mistaken) { m.then = []string{"delete", m.id} }},
	{"Starting a container again", func(m *mistaken) { m.then = []string{"start", m.id} }},
	{"A typing error in exec's command", func(m *mistaken) { m.then = []string{"exec", m.id, "prob"} }},
	{"A container that does not exist", func(m *mistaken) { m.then = []string{"kill", "wbe"} }},
	{"A restore from where no checkpoint was written", func(m *mistaken) {
		m.then = []string{"restore", "--bundle", m.dir, "--image-path", "/srv/no-such-images", m.id + "2"}
	}},
	{"A signal that does not exist", func(m *mistaken) { m.then = []string{"kill", m.id, "SIGSTPO"} }},
}

// What peapod says of common mistakes is in docs/errors.md, word for word.
func TestMistakes(t *testing.T) {
	const page = "../docs/errors.md"
	var rows strings.Builder
	for _, m := range mistakes {
		said := m.commit(t, binary)
		fmt.Fprintf(&rows, "### %s\n\n```\n%s\n```\n\n", m.title, said)
		if *update {
			fmt.Fprintf(&rows, "runc:\n\n```\n%s\n```\n\n", m.commit(t, os.Getenv("RUNC")))
			continue
		}
		want, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(want), "### "+m.title+"\n\n```\n"+said+"\n```\n") {
			t.Errorf("%s: docs/errors.md does not have:\n%s", m.title, said)
		}
	}
	if *update {
		if err := os.WriteFile(page, []byte(pageHead+rows.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

const pageHead = `# What peapod says when something is wrong

Common mistakes in a bundle or a command, what peapod says of them, and what runc
does. BUNDLE is the bundle's directory. The page is made by a test, which holds
peapod to it: ` + "`RUNC=$(which runc) go test ./integration -run TestMistakes -update`" + `.

`

// commit makes the mistake and returns what is said of it.
func (m *mistake) commit(t *testing.T, runtime string) string {
	t.Helper()
	state := filepath.Join(t.TempDir(), "state")
	call := func(args ...string) (string, error) {
		cmd := exec.CommandContext(testkit.Soon(t), runtime, append([]string{"--root", state}, args...)...)
		if args[0] == "run" && len(args) > 3 && args[1] == "--detach" {
			return "", cmd.Run() // what it leaves would hold a pipe open
		}
		cmd.WaitDelay = time.Second
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	c := &mistaken{t: t, id: "box"}
	c.dir = newBundle(t, func(s *specs.Spec) {
		c.spec, c.root = s, s.Root.Path
	}, "echo", "a mistake that did not matter")
	m.make(c)
	if c.then != nil {
		c.args("probe", "hold")
	}
	if c.raw == "" {
		writeJSON(t, filepath.Join(c.dir, "config.json"), c.spec)
	} else if err := os.WriteFile(filepath.Join(c.dir, "config.json"), []byte(c.raw), 0o644); err != nil {
		t.Fatal(err)
	}
	args := append(append([]string{"run", "--bundle", c.dir}, c.options...), c.id)
	if c.then != nil {
		if out, err := call("run", "--detach", "--bundle", c.dir, c.id); err != nil {
			t.Fatalf("%s: %v\n%s", m.title, err, out)
		}
		args = c.then
	}
	out, err := call(args...)
	if err == nil && runtime == binary {
		t.Errorf("%s: no complaint", m.title)
	}
	call("delete", "--force", c.id)
	return c.general(out)
}

// variable is what differs from run to run.
var variable = regexp.MustCompile(`(?m)^time="[^"]*" level=|/proc/self/fd/\d+|\.container\.[0-9a-f]{8}|/sys/fs/cgroup/\S*/box`)

// general takes names of this run out of a text.
func (m *mistaken) general(text string) string {
	text = strings.ReplaceAll(text, m.dir, "BUNDLE")
	text = strings.ReplaceAll(text, m.root, "BUNDLE/rootfs")
	return strings.TrimSpace(variable.ReplaceAllStringFunc(text, func(s string) string {
		switch {
		case strings.HasPrefix(s, "time="):
			return "level="
		case strings.HasPrefix(s, ".container"):
			return ".container.HASH"
		case strings.HasPrefix(s, "/sys/fs"):
			return "CGROUP"
		}
		return strings.TrimRight(s, "0123456789") + "N"
	}))
}
