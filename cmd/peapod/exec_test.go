package main

import (
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestSetUser(t *testing.T) {
	for s, want := range map[string]specs.User{
		"7": {UID: 7, GID: 3}, "7:8": {UID: 7, GID: 8}, "0:0": {}, "4294967294": {UID: 4294967294, GID: 3},
	} {
		user := specs.User{UID: 2, GID: 3}
		if err := setUser(&user, s); err != nil || user.UID != want.UID || user.GID != want.GID {
			t.Errorf("%s: %+v, %v", s, user, err)
		}
	}
	for _, s := range []string{"", ":", "7:", ":8", "-1", "root", "1:2:3", "4294967295", "99999999999"} {
		if err := setUser(&specs.User{}, s); err == nil {
			t.Errorf("%q is accepted", s)
		}
	}
}

func TestParseGroups(t *testing.T) {
	got, err := parseGroups([]string{"1", "2,3"})
	if err != nil || !slices.Equal(got, []uint32{1, 2, 3}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, s := range []string{"", "1,", "x", "-1"} {
		if _, err := parseGroups([]string{s}); err == nil {
			t.Errorf("%q is accepted", s)
		}
	}
}

func TestWithCapabilities(t *testing.T) {
	own := &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}, Permitted: []string{"CAP_KILL"}}
	if got := withCapabilities(own, nil); got != own {
		t.Error("changed for nothing")
	}
	sum := withCapabilities(own, []string{"CAP_CHOWN"})
	if !slices.Equal(sum.Bounding, []string{"CAP_KILL", "CAP_CHOWN"}) || !slices.Equal(sum.Effective, []string{"CAP_CHOWN"}) || sum.Ambient != nil {
		t.Errorf("%+v", sum)
	}
	if len(own.Bounding) != 1 {
		t.Error("the container's own were changed")
	}
	own.Inheritable = []string{"CAP_KILL"}
	if sum := withCapabilities(own, []string{"CAP_CHOWN"}); !slices.Equal(sum.Ambient, []string{"CAP_CHOWN"}) {
		t.Errorf("ambient %v", sum.Ambient)
	}
	if sum := withCapabilities(nil, []string{"CAP_CHOWN"}); !slices.Equal(sum.Permitted, []string{"CAP_CHOWN"}) {
		t.Errorf("%+v", sum)
	}
}

func TestLinesOf(t *testing.T) {
	table := "UID   PID  CMD\nroot    1  init\nroot   12  a b\n\nx\nroot  123  c\n"
	got, err := linesOf(table, []int{12, 123})
	if err != nil || !slices.Equal(got, []string{"UID   PID  CMD", "root   12  a b", "root  123  c"}) {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := linesOf("A B\n1 2\n", []int{1}); err == nil {
		t.Error("a table without pids is accepted")
	}
}
