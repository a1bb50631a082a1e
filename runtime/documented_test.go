package runtime

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// fields are the names of all fields of a config.json for Linux.
func fields(t reflect.Type, prefix string) (list []string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		switch t.Kind() {
		case reflect.Slice:
			prefix += "[]"
		case reflect.Map:
			prefix += ".*"
		}
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return []string{prefix}
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if platform := f.Tag.Get("platform"); platform != "" && !strings.Contains(platform, "linux") || name == "-" {
			continue
		}
		if f.Anonymous && name == "" {
			list = append(list, fields(f.Type, prefix)...)
			continue
		}
		list = append(list, fields(f.Type, strings.TrimPrefix(prefix+"."+name, "."))...)
	}
	return list
}

// expand writes "a.{b,c}[]" out.
func expand(name string) (list []string) {
	before, rest, braces := strings.Cut(name, "{")
	if !braces {
		return []string{name}
	}
	inner, after, _ := strings.Cut(rest, "}")
	for word := range strings.SplitSeq(inner, ",") {
		list = append(list, before+word+after)
	}
	return list
}

// docs/oci.md tells of each field that there is, and of no other.
func TestDocumented(t *testing.T) {
	data, err := os.ReadFile("../docs/oci.md")
	if err != nil {
		t.Fatal(err)
	}
	want := fields(reflect.TypeFor[specs.Spec](), "")
	var got []string
	for line := range strings.Lines(string(data)) {
		if name, ok := strings.CutPrefix(line, "| `"); ok {
			name, rest, _ := strings.Cut(name, "`")
			if cells := strings.Split(rest, "|"); len(cells) != 5 || slices.ContainsFunc(cells[1:4], func(s string) bool { return strings.TrimSpace(s) == "" }) {
				t.Errorf("%s: an empty cell in %s", name, line)
			}
			got = append(got, expand(name)...)
		}
	}
	for _, name := range want {
		if !slices.Contains(got, name) {
			t.Errorf("%s is not documented", name)
		}
	}
	for i, name := range got {
		if !slices.Contains(want, name) || slices.Contains(got[:i], name) {
			t.Errorf("%s is no field, or is there twice", name)
		}
	}
}
