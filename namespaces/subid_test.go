package namespaces

import (
	"reflect"
	"strings"
	"syscall"
	"testing"
)

func TestParseSubIDs(t *testing.T) {
	text := "root:100:5\nweb:100000:65536\n# web:1:1\nweb:x:1\nweb:300000:0\n1000:500000:10\nweb:4294967290:10\nweb:7\n other:1:2"
	got := parseSubIDs(strings.NewReader(text), []string{"1000", "web"})
	want := []syscall.SysProcIDMap{{ContainerID: 1, HostID: 100000, Size: 65536}, {ContainerID: 65537, HostID: 500000, Size: 10}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Whatever the file has in it, no range is empty, overlaps another one inside or
// reaches the last id.
func FuzzParseSubIDs(f *testing.F) {
	f.Add("web:100000:65536\n1000:4294967295:1\nweb:1:4294967294\n")
	f.Fuzz(func(t *testing.T, text string) {
		next := 1
		for _, m := range parseSubIDs(strings.NewReader(text), []string{"1000", "web"}) {
			if m.ContainerID != next || m.Size < 1 || m.HostID+m.Size >= 1<<32 || m.ContainerID+m.Size >= 1<<32 {
				t.Errorf("%q gives %+v behind %d", text, m, next)
			}
			next += m.Size
		}
	})
}
