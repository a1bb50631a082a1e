package pod

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func TestExpand(t *testing.T) {
	lookup := func(name string) (string, bool) {
		value, ok := map[string]string{"A": "a", "B": "$(A)", "E": "", "x-y.z": "odd"}[name]
		return value, ok
	}
	for _, tt := range []struct{ in, want string }{
		{"", ""}, {"plain", "plain"}, {"$(A)", "a"}, {"x$(A)y$(A)", "xaya"}, {"$(B)", "$(A)"}, {"$(E)", ""}, {"$(x-y.z)", "odd"},
		{"$(NONE)", "$(NONE)"}, {"$()", "$()"}, {"$A", "$A"}, {"${A}", "${A}"}, {"$", "$"}, {"a$", "a$"}, {"$(", "$("}, {"$(A", "$(A"},
		{"$$(A)", "$(A)"}, {"$$$(A)", "$a"}, {"$$$$(A)", "$$(A)"}, {"$$", "$"}, {"$$$", "$$"}, {"$(A)$$", "a$"}, {"$($(A))", "$($(A))"}, {")$(A)(", ")a("},
	} {
		if got, err := expand(tt.in, lookup); got != tt.want || err != nil {
			t.Errorf("expand(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
		}
	}
	if _, err := expand(strings.Repeat("$(A)", maxString+1), lookup); err != errTooLong {
		t.Errorf("a long value: %v", err)
	}
	if got, err := expand(strings.Repeat("$(E)", maxString), lookup); got != "" || err != nil {
		t.Errorf("a long text of nothing: %q, %v", got, err)
	}
}

func TestExpandBomb(t *testing.T) {
	env := []string{`{"name": "V0", "value": "xx"}`}
	for i := 1; i < 40; i++ {
		env = append(env, fmt.Sprintf(`{"name": "V%d", "value": "$(V%d)$(V%d)"}`, i, i-1, i-1))
	}
	_, err := Parse("p.json", []byte(spec(`"env": [`+strings.Join(env, ", ")+`]`, "")))
	want := "spec.containers[0].env[16].value: longer than 131071 bytes with its variables filled in"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestFieldRef(t *testing.T) {
	p := &Pod{Metadata: Metadata{Name: "n", Namespace: "ns", Labels: map[string]string{"a/b": "l"}, Annotations: map[string]string{"c": "x y"}}}
	for path, want := range map[string]string{
		"metadata.name": "n", "metadata.namespace": "ns", "metadata.labels['a/b']": "l", "metadata.labels['none']": "", "metadata.annotations['c']": "x y",
	} {
		if got, err := p.fieldRef(path); got != want || err != nil {
			t.Errorf("%s is %q, %v; want %q", path, got, err, want)
		}
	}
	for _, path := range []string{"", "metadata", "metadata.uid", "status", "spec.nodeName", "metadata.labels", "metadata.labels[a]", "x"} {
		if got, err := p.fieldRef(path); err == nil {
			t.Errorf("%q is %q", path, got)
		}
	}
}

func TestAddressFields(t *testing.T) {
	p := &Pod{addresses: &addresses{
		pod:  []netip.Addr{netip.MustParseAddr("10.1.0.2"), netip.MustParseAddr("fd00::2")},
		host: netip.MustParseAddr("192.0.2.1"),
	}}
	for path, want := range map[string]string{
		"status.podIP": "10.1.0.2", "status.podIPs": "10.1.0.2,fd00::2", "status.hostIP": "192.0.2.1", "status.hostIPs": "192.0.2.1",
	} {
		if got, err := p.fieldRef(path); got != want || err != nil {
			t.Errorf("%s is %q, %v; want %q", path, got, err, want)
		}
	}
}

// FuzzExpand looks for panics, and for text that changes although it has no variable.
func FuzzExpand(f *testing.F) {
	f.Add("$$(A)$(A)$(B$", "x")
	f.Add("$(A)", "$(A)")
	f.Fuzz(func(t *testing.T, s, value string) {
		got, err := expand(s, func(name string) (string, bool) { return value, name == "A" })
		switch {
		case err != nil && len(s)+strings.Count(s, "$(A)")*len(value) <= maxString:
			t.Fatalf("expand(%q): %v", s, err)
		case err == nil && len(got) > maxString:
			t.Fatalf("%d bytes", len(got))
		case err == nil && !strings.Contains(s, "$$") && !strings.Contains(s, "$(A)") && got != s:
			t.Fatalf("expand(%q) = %q", s, got)
		}
	})
}
