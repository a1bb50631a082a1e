package runtime

import (
	"strings"
	"testing"

	"github.com/peapod/peapod/cgroups"
)

func TestPlaceOf(t *testing.T) {
	p, err := placeOf(&cgroups.Group{}, []string{"cpu,memory:a", "pids:b/c"})
	if want := []step{{"cpu", "a"}, {"memory", "a"}, {"pids", "b/c"}}; err != nil || len(p.steps) != 3 || p.steps[0] != want[0] || p.steps[1] != want[1] || p.steps[2] != want[2] {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err := placeOf(nil, nil); err != nil || p.group != nil || p.exact {
		t.Errorf("%+v, %v", p, err)
	}
	for text, list := range map[string][]string{
		"[CONTROLLERS:]PATH": {""}, "PATH": {"a:b:c"}, "begin with their controllers": {"cpu:a", "b"}, "comes twice": {"cpu:a", "cpu:b"},
	} {
		if p, err := placeOf(&cgroups.Group{}, list); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: %+v, %v", list, p, err)
		}
	}
	if _, err := placeOf(nil, []string{"a"}); err == nil {
		t.Error("a group below none is accepted")
	}
}
