package cgroups

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestCleanPath(t *testing.T) {
	for _, test := range []struct{ path, want string }{
		{"/peapod/web", "/peapod/web"},
		{"peapod/web", "/peapod/web"},
		{"//peapod///web/", "/peapod/web"},
		{"/user.slice/ü b", "/user.slice/ü b"},
		{"/" + strings.Repeat("x", 255), "/" + strings.Repeat("x", 255)},
		{"/a:b", "/a:b"},
		{"/a:b:c", "/a:b:c"},
	} {
		if got, err := cleanPath(test.path); err != nil || got != test.want {
			t.Errorf("%q gives %q, %v", test.path, got, err)
		}
	}
	for path, text := range map[string]string{
		"":                                "root group",
		"/":                               "root group",
		"///":                             "root group",
		"/..":                             `".."`,
		"/a/../b":                         `".."`,
		"../a":                            `".."`,
		"/a/.":                            `"."`,
		"/a\nb":                           "control character",
		"/a\x00b":                         "control character",
		"/\x1b[2J":                        "control character",
		"/\u009b":                         "control character",
		"/\xff":                           "control character",
		"/a/cgroup.procs":                 "reserved",
		"/" + strings.Repeat("x", 256):    "256 bytes",
		"/" + strings.Repeat("x", 300000): "bytes",
	} {
		_, err := cleanPath(path)
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), text) {
			t.Errorf("%.40q: %v", path, err)
		}
	}
}

func FuzzCleanPath(f *testing.F) {
	for _, path := range []string{"/a/b", "..", "/a//b/", "/a\n", "a:b:c", "/cgroup.x"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		clean, err := cleanPath(path)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%q: %v", path, err)
			}
			return
		}
		for name := range strings.SplitSeq(clean[1:], "/") {
			if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "\x00\n") {
				t.Errorf("%q gives %q", path, clean)
			}
		}
		if again, err := cleanPath(clean); err != nil || again != clean {
			t.Errorf("%q gives %q, and that %q, %v", path, clean, again, err)
		}
	})
}

func TestOwnParents(t *testing.T) {
	for path, want := range map[string][]string{
		"/peapod/web/app":  {"/peapod/web", "/peapod"},
		"/peapod/web":      {"/peapod"},
		"/peapod":          nil,
		"/peapods/web/app": nil,
		"/kubepods/web":    nil,
	} {
		if got := ownParents(path); !slices.Equal(got, want) {
			t.Errorf("%s: %v", path, got)
		}
	}
}

// TestErrorIsOneLine: what a path has in it does not get at the terminal.
func TestErrorIsOneLine(t *testing.T) {
	_, err := New("/a\n\x1b[2Jb", nil)
	if err == nil || strings.ContainsAny(err.Error(), "\n\x1b") {
		t.Errorf("%q", err)
	}
}
