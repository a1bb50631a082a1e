package pod

import (
	"bufio"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"

	"github.com/peapod/peapod/rootfs"
)

// makeImages makes the images that the tests use and returns their directory.
func makeImages(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"plain/bin/tool":           "#!/bin/sh\n",
		"plain/bin/sh":             "#!/bin/tool\n", // replaced below
		"plain/etc/passwd":         "root:x:0:0:root:/root:/bin/sh\nbad\nweb:x:33:44:web:/var/www:/bin/sh\n",
		"plain/opt/link":           "->/data/program",
		"bundle/config.json":       `{"ociVersion": "1.2.0", "root": {"path": "root"}, "process": {"args": ["tool", "-v"], "env": ["PATH=/bin", "A=image", "B=image"], "cwd": "/opt", "user": {"uid": 33, "gid": 7, "additionalGids": [8]}}}`,
		"bundle/root/bin/tool":     "",
		"bundle/root/opt/x":        "",
		"noprocess/config.json":    `{"ociVersion": "1.2.0"}`,
		"noprocess/rootfs/x":       "",
		"escape/config.json":       `{"ociVersion": "1.2.0", "root": {"path": "/"}}`,
		"dotdot/config.json":       `{"ociVersion": "1.2.0", "root": {"path": "../plain"}}`,
		"linked/config.json":       `{"ociVersion": "1.2.0"}`,
		"linked/rootfs":            "->/",
		"broken/config.json":       `{"ociVersion": `,
		"broken/rootfs/x":          "",
		"app/config.json":          `{"root": {"path": "/srv"}}`,
		"app/bin/tool":             "",
		"outside/config.json":      "->" + filepath.Join(dir, "bundle/config.json"),
		"outside/bin/tool":         "",
		"empty/":                   "",
		"file":                     "",
		"host/file":                "",
		"plain/usr/bin/redis-serv": "",
	} {
		file := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(file), 0o755)
		switch target, link := strings.CutPrefix(content, "->"); {
		case err != nil:
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(file, 0o755)
		case link:
			err = os.Symlink(target, file)
		case strings.HasPrefix(content, "#!") || strings.Contains(name, "bin/"):
			err = os.WriteFile(file, selfProgram(t), 0o755)
		default:
			err = os.WriteFile(file, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// selfProgram returns the headers of a static program for this machine, whose
// code is not there. The test's own executable is not static with -race.
func selfProgram(t testing.TB) []byte {
	t.Helper()
	machine := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[goruntime.GOARCH]
	var b bytes.Buffer
	err := binary.Write(&b, binary.LittleEndian, elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT), Entry: 0x401000,
		Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1,
	})
	if err == nil {
		err = binary.Write(&b, binary.LittleEndian, elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: 0x400000, Filesz: 4096, Memsz: 4096, Align: 4096})
	}
	if err != nil {
		t.Fatal(err)
	}
	return append(b.Bytes(), make([]byte, 4096-b.Len())...)
}

func parseIn(t *testing.T, dir, container, pod string) *Pod {
	t.Helper()
	text := strings.Replace(spec(container, pod), `"image": "./c"`, `"image": "./plain"`, 1)
	p, err := Parse(filepath.Join(dir, "p.json"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestImage(t *testing.T) {
	dir := makeImages(t)
	p := &Pod{Dir: dir}
	for _, tt := range []struct{ name, root, bundle, err string }{
		{"./plain", "plain", "", ""},
		{"plain", "plain", "", ""},
		{filepath.Join(dir, "plain"), "plain", "", ""},
		{"./bundle", "bundle/root", "bundle", ""},
		{"./noprocess", "noprocess/rootfs", "noprocess", ""},
		{"./app", "app", "", ""},
		{"./outside", "outside", "", ""},
		{"./none", "", "", "no such image: there is no directory DIR/none"},
		{"nginx:1.25", "", "", "no such image: there is no directory DIR/nginx:1.25. Images are directories with an unpacked root, nothing is pulled from a registry"},
		{"builtin:nginx", "", "", `there is no builtin image "nginx"; use builtin:demo`},
		{"./file", "", "", "image DIR/file is a file; unpack it into a directory and name that"},
		{"./file/x", "", "", "image: stat DIR/file/x: not a directory"},
		{"./empty", "", "", "image DIR/empty is an empty directory; unpack a root file system into it"},
		{"./escape", "", "", "image: the root that config.json names has to be a directory inside the bundle DIR/escape: statat ..: path escapes from parent"},
		{"./dotdot", "", "", "image: the root that config.json names has to be a directory inside the bundle DIR/dotdot: statat ../plain: path escapes from parent"},
		{"./linked", "", "", "image: the root that config.json names has to be a directory inside the bundle DIR/linked: statat rootfs: path escapes from parent"},
		{"./broken", "", "", "image: DIR/broken/config.json is not the config.json of an OCI bundle: unexpected end of JSON input"},
	} {
		im, err := p.Image(tt.name)
		if err != nil {
			got := strings.ReplaceAll(err.Error(), dir, "DIR")
			if i := strings.Index(got, "statat ../.."); i >= 0 {
				got = got[:i] + "statat ..: path escapes from parent" // as many .. as the directory is deep
			}
			if got != tt.err {
				t.Errorf("%s\n got %s\nwant %s", tt.name, got, tt.err)
			}
			continue
		}
		bundle := tt.bundle
		if bundle != "" {
			bundle = filepath.Join(dir, bundle)
		}
		if tt.err != "" || im.Root != filepath.Join(dir, tt.root) || im.Bundle != bundle {
			t.Errorf("%s: root %s, bundle %q; want %q", tt.name, im.Root, im.Bundle, tt.err)
		}
	}
}

func TestResolveProcess(t *testing.T) {
	dir := makeImages(t)
	for _, tt := range []struct {
		image, container, pod string
		args                  []string
		env                   string // sorted, separated by spaces
		cwd, ids, err         string
	}{
		{"./plain", `"command": ["tool", "$(N)"], "args": ["$$(N)"], "env": [{"name": "N", "value": "1"}]`, "",
			[]string{"tool", "1", "$(N)"}, "HOME=/root HOSTNAME=p N=1 PATH=" + rootfs.DefaultPath, "/", "0:0 []", ""},
		{"./plain", `"command": ["/bin/tool"], "workingDir": "/w", "securityContext": {"runAsUser": 33}`, `"hostname": "h"`,
			[]string{"/bin/tool"}, "HOME=/var/www HOSTNAME=h PATH=" + rootfs.DefaultPath, "/w", "33:44 []", ""},
		{"./plain", `"command": ["tool"], "securityContext": {"runAsUser": 5}`, `"securityContext": {"runAsUser": 33, "runAsGroup": 9, "fsGroup": 3, "supplementalGroups": [4, 3]}`,
			[]string{"tool"}, "HOME=/ HOSTNAME=p PATH=" + rootfs.DefaultPath, "/", "5:9 [4 3]", ""},
		{"./plain", "", "", nil, "", "", "", "p.json:5:16: spec.containers[0].command: the image names no command to run; give one in command"},
		{"./plain", `"args": ["x"]`, "", nil, "", "", "", "p.json:6:3: spec.containers[0].args: the image has no entrypoint that args could follow; give command"},
		{"./plain", `"command": ["$(E)"], "env": [{"name": "E"}]`, "", nil, "", "", "", "p.json:6:15: spec.containers[0].command[0]: empty once its variables are filled in"},
		{"./plain", `"command": ["tool"], "securityContext": {"runAsNonRoot": true}`, "", nil, "", "", "", "p.json:6:60: spec.containers[0].securityContext.runAsNonRoot: runAsNonRoot is true, but the container would run as root; set runAsUser to a number above 0"},
		{"./bundle", "", "", []string{"tool", "-v"}, "A=image B=image HOME=/ HOSTNAME=p PATH=/bin", "/opt", "33:7 [8]", ""},
		{"./bundle", `"args": ["-q"], "env": [{"name": "B", "value": "spec $(A)"}]`, "",
			[]string{"tool", "-q"}, "A=image B=spec $(A) HOME=/ HOSTNAME=p PATH=/bin", "/opt", "33:7 [8]", ""},
		{"./bundle", `"command": ["/bin/tool"], "securityContext": {"runAsUser": 0, "runAsGroup": 1}`, "",
			[]string{"/bin/tool"}, "A=image B=image HOME=/ HOSTNAME=p PATH=/bin", "/opt", "0:1 []", ""},
		{"builtin:demo", `"args": ["web"]`, "", []string{"/bin/peapod", "demo", "web"}, "HOME=/ HOSTNAME=p PATH=" + rootfs.DefaultPath, "/", "0:0 []", ""},
		{"builtin:demo", `"command": ["peapod", "demo", "kv"]`, "", []string{"peapod", "demo", "kv"}, "HOME=/ HOSTNAME=p PATH=" + rootfs.DefaultPath, "/", "0:0 []", ""},
		{"builtin:demo", `"command": ["sh"]`, "", nil, "", "", "", `p.json:6:15: spec.containers[0].command[0]: executable "sh" not found: builtin:demo has /bin/peapod only; leave command out and give args`},
	} {
		p := parseIn(t, dir, tt.container, tt.pod)
		p.Spec.Containers[0].Image = tt.image
		list, err := p.Resolve()
		if err != nil || tt.err != "" {
			checkError(t, tt.image+" "+tt.container, trimDir(err, dir), tt.err)
			continue
		}
		process := list[0].Process
		slices.Sort(process.Env)
		ids := fmt.Sprintf("%d:%d %v", process.User.UID, process.User.GID, process.User.AdditionalGids)
		if !reflect.DeepEqual(process.Args, tt.args) || strings.Join(process.Env, " ") != tt.env || process.Cwd != tt.cwd || ids != tt.ids {
			t.Errorf("%s %s:\n args %q env %q cwd %q ids %q", tt.image, tt.container, process.Args, process.Env, process.Cwd, ids)
		}
	}
}

func TestResolveErrors(t *testing.T) {
	dir := makeImages(t)
	const volume = `"volumes": [{"name": "v", "emptyDir": {}}]`
	for _, tt := range []struct {
		container, pod, want string
		code                 int
	}{
		{`"command": ["redis-servr"]`, "", `p.json:6:15: spec.containers[0].command[0]: image DIR/plain: executable "redis-servr" not found in $PATH (` + rootfs.DefaultPath + `); did you mean redis-serv?`, 127},
		{`"command": ["redis-servr"], "env": [{"name": "PATH", "value": "/opt:/sbin"}]`, "", `p.json:6:15: spec.containers[0].command[0]: image DIR/plain: executable "redis-servr" not found in $PATH (/opt:/sbin)`, 127},
		{`"command": ["/opt"]`, "", `p.json:6:15: spec.containers[0].command[0]: image DIR/plain: /opt is a directory`, 126},
		{`"command": ["/etc/passwd"]`, "", `p.json:6:15: spec.containers[0].command[0]: image DIR/plain: /etc/passwd is not executable (its mode is 0644); chmod +x it in the image`, 126},
		{`"command": ["/opt/link"]`, "", `p.json:6:15: spec.containers[0].command[0]: image DIR/plain: /opt/link is a symbolic link to /data/program, which the image does not have`, 127},
		{`"command": ["/opt/link"], "volumeMounts": [{"name": "v", "mountPath": "/data"}]`, volume, ``, 0},
		{`"command": ["/data/x"], "volumeMounts": [{"name": "v", "mountPath": "/data"}]`, volume, ``, 0},
		{`"command": ["./x"], "workingDir": "/data", "volumeMounts": [{"name": "v", "mountPath": "/data"}]`, volume, ``, 0},
		{`"command": ["x"], "volumeMounts": [{"name": "v", "mountPath": "/usr/local"}]`, volume, ``, 0},
		{`"command": ["x"], "volumeMounts": [{"name": "v", "mountPath": "/usr/loc"}]`, volume, `p.json:6:15: spec.containers[0].command[0]: image DIR/plain: executable "x" not found in $PATH (` + rootfs.DefaultPath + `)`, 127},
		{`"command": ["tool"]`, `"volumes": [{"name": "v", "hostPath": {"path": "./none"}}]`, `p.json:5:48: spec.volumes[0].hostPath.path: there is no DIR/none; make it, or let type: DirectoryOrCreate make it`, 0},
		{`"command": ["tool"]`, `"volumes": [{"name": "v", "hostPath": {"path": "./none", "type": "Socket"}}]`, `p.json:5:48: spec.volumes[0].hostPath.path: there is no DIR/none`, 0},
		{`"command": ["tool"]`, `"volumes": [{"name": "v", "hostPath": {"path": "./none", "type": "FileOrCreate"}}]`, ``, 0},
		{`"command": ["tool"]`, `"volumes": [{"name": "v", "hostPath": {"path": "host/file", "type": "DirectoryOrCreate"}}]`, `p.json:5:48: spec.volumes[0].hostPath.path: DIR/host/file is a file, not a Directory`, 0},
		{`"command": ["tool"]`, `"volumes": [{"name": "v", "hostPath": {"path": "host", "type": "Socket"}}]`, `p.json:5:48: spec.volumes[0].hostPath.path: DIR/host is a directory, not a Socket`, 0},
	} {
		_, err := parseIn(t, dir, tt.container, tt.pod).Resolve()
		checkError(t, tt.container, trimDir(err, dir), tt.want)
		var lookup *rootfs.LookPathError
		if errors.As(err, &lookup) != (tt.code != 0) || lookup != nil && lookup.ExitCode() != tt.code {
			t.Errorf("%s: %v, want exit code %d", tt.container, lookup, tt.code)
		}
	}
	p := parseIn(t, dir, `"command": ["x"]`, "")
	p.Spec.Containers[0].Image = "./none"
	if _, err := p.Resolve(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
}

// trimDir makes the error's text the same on each run.
func trimDir(err error, dir string) error {
	if err == nil {
		return nil
	}
	text := strings.ReplaceAll(err.Error(), filepath.Join(dir, "p.json"), "p.json")
	return errors.New(strings.ReplaceAll(text, dir, "DIR"))
}

func TestCapabilities(t *testing.T) {
	for _, tt := range []struct {
		c     *Capabilities
		count int
		has   string
	}{
		{nil, 14, "CAP_CHOWN"},
		{&Capabilities{Drop: []string{"ALL"}}, 0, ""},
		{&Capabilities{Drop: []string{"ALL"}, Add: []string{"CAP_NET_BIND_SERVICE"}}, 1, "CAP_NET_BIND_SERVICE"},
		{&Capabilities{Drop: []string{"CHOWN"}, Add: []string{"SYS_TIME"}}, 14, "CAP_SYS_TIME"},
		{&Capabilities{Add: []string{"ALL"}, Drop: []string{"CAP_SYS_ADMIN"}}, 40, "CAP_BPF"},
	} {
		got := tt.c.Linux()
		if len(got.Bounding) != tt.count || tt.has != "" && !slices.Contains(got.Bounding, tt.has) ||
			!slices.Equal(got.Bounding, got.Effective) || !slices.Equal(got.Bounding, got.Permitted) || got.Inheritable != nil || got.Ambient != nil {
			t.Errorf("%+v: %v", tt.c, got)
		}
	}
}

func FuzzFindUser(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/sh\n", uint32(0))
	f.Add("a:x:1:2:::\nb:x:1:9999999999::/x:\n", uint32(1))
	f.Fuzz(func(t *testing.T, text string, uid uint32) {
		if _, home := findUser(bufio.NewReader(strings.NewReader(text)), uid); !strings.HasPrefix(home, "/") {
			t.Fatalf("home %q", home)
		}
	})
}

func BenchmarkResolve(b *testing.B) {
	p := &Pod{Dir: makeImages(b), Spec: Spec{Containers: []Container{{Image: "./bundle"}, {Image: "./plain", Command: []string{"tool"}}}}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Resolve(); err != nil {
			b.Fatal(err)
		}
	}
}
