package seccomp

import (
	"os"
	"reflect"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/strict"
)

func mustRead(t *testing.T, name string, data []byte) *File {
	t.Helper()
	d, err := strict.Parse(name, data)
	if err != nil {
		t.Fatal(err)
	}
	f := &File{}
	if err := d.Decode(f); err != nil {
		t.Fatal(err)
	}
	return f
}

// Docker's file says what the generated table says.
func TestFileOfDocker(t *testing.T) {
	data, err := os.ReadFile("generate/moby-default.json")
	if err != nil {
		t.Fatal(err)
	}
	f := mustRead(t, "moby-default.json", data)
	for _, goarch := range []string{"amd64", "arm64"} {
		for _, caps := range [][]string{nil, {"CAP_SYS_ADMIN"}, {"CAP_SYS_NICE", "CAP_SYSLOG"}} {
			p, err := f.Profile(Machine{Arch: goarch, Release: "6.1.0-49-amd64", Caps: caps})
			if err != nil {
				t.Fatal(err)
			}
			have, want := mustCompile(t, p, goarch), mustCompile(t, Default(goarch, caps), goarch)
			if !reflect.DeepEqual(have.Code, want.Code) {
				t.Errorf("%s with %v: the file has %d instructions, the table %d", goarch, caps, len(have.Code), len(want.Code))
			}
		}
	}
}

func TestFile(t *testing.T) {
	f := mustRead(t, "f.json", []byte(`{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrno": "ENOSYS", "syscalls": [
		{"name": "read", "action": "SCMP_ACT_ALLOW", "comment": "x"},
		{"names": ["write"], "action": "SCMP_ACT_ERRNO", "errno": "EIO", "includes": {"minKernel": "5.10"}},
		{"names": ["open"], "action": "SCMP_ACT_ALLOW", "excludes": {"minKernel": "5.10"}},
		{"names": ["close"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 1, "value": 3, "op": "SCMP_CMP_EQ"}], "excludes": {"arches": ["arm64"]}}]}`))
	p, err := f.Profile(Machine{Arch: "amd64", Release: "6.1"})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Syscalls) != 3 || *p.DefaultErrnoRet != 38 || *p.Syscalls[1].ErrnoRet != 5 || p.Syscalls[2].Args[0].Op != specs.OpEqualTo {
		t.Errorf("got %+v", p)
	}
	for text, want := range map[string]string{
		`{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrno": "ENOTHING"}`:                                                  `defaultErrno: there is no error "ENOTHING"`,
		`{"defaultAction": "SCMP_ACT_ERRNO", "archMap": [{"architecture": "x"}], "architectures": ["y"]}`:                  "archMap: there is architectures besides",
		`{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"name": "a", "names": ["b"], "action": "x"}]}`:                  "syscalls[0].name: there is names besides",
		`{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"name": "a", "includes": {"minKernel": "new"}}]}`:               `syscalls[0].includes.minKernel: "new" is no version`,
		`{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"name": "a", "action": "x", "includes": {"caps": ["CAP_X"]}}]}`: `syscalls[0].action: there is no action "x"`,
	} {
		if _, err := mustRead(t, "f.json", []byte(text)).Profile(Machine{Arch: "amd64", Release: "6.1"}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
