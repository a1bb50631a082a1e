package cgroups

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestPlace(t *testing.T) {
	for path, want := range map[string]string{
		"system.slice:peapod:web": "/system.slice/peapod-web.scope",
		":peapod:web":             "/system.slice/peapod-web.scope",
		"a-b-c.slice::web":        "/a.slice/a-b.slice/a-b-c.slice/web.scope",
		"-.slice:x:y":             "/x-y.scope",
		"/peapod/web":             "/peapod/web",
	} {
		if got, err := Place(path); err != nil || got != want {
			t.Errorf("%s gives %s, %v", path, got, err)
		}
	}
	for _, path := range []string{"system.slice:x:", "system.slice:x:y.slice", "system:x:y", "-a.slice:x:y", "a--b.slice:x:y", ".slice:x:y",
		"system.slice:x y:z", "system.slice:x:" + strings.Repeat("y", 300), "system.slice:..%:z"} {
		if got, err := Place(path); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s gives %s, %v", path, got, err)
		}
	}
}

func TestProperties(t *testing.T) {
	r := &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: p[int64](100), Swap: p[int64](130), Reservation: p[int64](50)},
		CPU:    &specs.LinuxCPU{Shares: p[uint64](1024), Quota: p[int64](12345), Period: p[uint64](100000), Cpus: "0-1,9"},
		Pids:   &specs.LinuxPids{Limit: p[int64](-1)},
	}
	var text []string
	for _, property := range properties(r, true) {
		text = append(text, fmt.Sprint(property.Name, "=", property.Value.Value()))
	}
	want := "MemoryMax=100 MemoryLow=50 MemorySwapMax=30 CPUWeight=100 CPUQuotaPeriodUSec=100000 CPUQuotaPerSecUSec=130000 AllowedCPUs=[3 2] TasksMax=18446744073709551615"
	if got := strings.Join(text, " "); got != want {
		t.Errorf("%s, want\n%s", got, want)
	}
	if list := properties(nil, true); list != nil {
		t.Errorf("%v", list)
	}
}

func TestDeviceProperties(t *testing.T) {
	list := deviceProperties([]specs.LinuxDeviceCgroup{{Access: "rwm"}, {Allow: true, Type: "c", Major: p[int64](1), Minor: p[int64](11), Access: "r"}})
	text := fmt.Sprint(list[0].Value.Value(), list[1].Value.Value())
	for _, want := range []string{"strict", "{/dev/char/1:11 r}", "{char-* m}", "{/dev/char/1:3 rwm}"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	if got := driver("Character devices:\n  1 mem\n136 pts\n\nBlock devices:\n  1 ram\n136 x\n", "char", 136); got != "char-pts" {
		t.Error(got)
	}
	if got := driver("Character devices:\n  1 mem\n\nBlock devices:\n  1 ram\n", "char", 136); got != "" {
		t.Error(got)
	}
}
