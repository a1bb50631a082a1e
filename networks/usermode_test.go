package networks

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

func TestParseUserMode(t *testing.T) {
	for text, want := range map[string]Mode{"pasta": Pasta, "slirp4netns": Slirp, "slirp": Slirp} {
		if s, err := Parse(text); err != nil || s.Mode != want || s.String() != string(want) {
			t.Errorf("%s gives %v, %v", text, s, err)
		}
	}
	for _, text := range []string{"pasta:x", "slirp4netns,mtu=1400"} {
		if _, err := Parse(text); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s gives %v", text, err)
		}
	}
}

func TestUserModeMissing(t *testing.T) {
	t.Setenv("PATH", "")
	_, err := Attach(t.Context(), Options{Network: Spec{Mode: Pasta}, Pod: "p"})
	if !errors.Is(err, ErrUnsupported) || !errors.Is(err, exec.ErrNotFound) || !strings.Contains(err.Error(), "package passt") {
		t.Errorf("the error is %v", err)
	}
}

func TestTail(t *testing.T) {
	var said tail
	if got := said.String(); got != "it said nothing" {
		t.Errorf("empty it is %s", got)
	}
	for i := range 500 {
		fmt.Fprintf(&said, "line\t%d\n", i)
	}
	if got := said.String(); !strings.HasSuffix(got, ` line 499"`) || len(got) > maxTail+2 {
		t.Errorf("it is %s", got)
	}
}
