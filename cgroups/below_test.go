package cgroups

import (
	"errors"
	"strings"
	"testing"
)

func TestSeatTwo(t *testing.T) {
	const text = "4:memory:/v1\n0::/peapod/web\n"
	for _, tt := range []struct{ unified, root, text, path string }{
		{"/u", "/", text, "/peapod/web"},
		{"/u", "/peapod", text, "/web"},
		{"/u", "/peapod/web", text, ""},
	} {
		h := &host{unified: tt.unified, root: tt.root}
		if path, ok := h.seatTwo(tt.text); !ok || path != tt.path {
			t.Errorf("%+v: %q, %v", tt, path, ok)
		}
	}
	for _, h := range []*host{{root: "/"}, {unified: "/u", root: "/pea"}, {unified: "/u", root: "/other"}} {
		if path, ok := h.seatTwo(text); ok {
			t.Errorf("%+v: %q", h, path)
		}
	}
	outside := &host{unified: "/u", root: "/"}
	for _, text := range []string{"", "4:memory:/v1\n", "0::/../x\n"} {
		if path, ok := outside.seatTwo(text); ok {
			t.Errorf("%q: %q", text, path)
		}
	}
}

func FuzzSeatTwo(f *testing.F) {
	f.Add("/", "0::/a")
	f.Add("/a", "1:cpu:/\n0::/a/b\n")
	f.Fuzz(func(t *testing.T, root, text string) {
		h := &host{unified: "/u", root: root}
		if path, ok := h.seatTwo(text); ok && path != "" && (path[0] != '/' || strings.HasPrefix(path, "/..")) {
			t.Errorf("%q in %q: %q", root, text, path)
		}
	})
}

// A group below is never one outside, whatever it is called.
func TestBelowStaysBelow(t *testing.T) {
	h := fake(t, "memory")
	g := &Group{host: h, path: "/top"}
	for _, sub := range []string{"../..", "/../x", "a/../../b"} {
		below, err := g.Below(sub)
		if err == nil && !inside(below.path, "/top") || err != nil && !errors.Is(err, ErrNotExist) {
			t.Errorf("%q: %+v, %v", sub, below, err)
		}
	}
	if err := g.StepBelow("freezer", "x"); !errors.Is(err, ErrNoController) {
		t.Error(err)
	}
}
