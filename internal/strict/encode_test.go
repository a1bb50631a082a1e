package strict

import (
	"encoding/json"
	"os"
	"reflect"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// same encodes with Append, and both ways of reading it must give what
// encoding/json makes of the value.
func same[T any](t *testing.T, value T) {
	t.Helper()
	ours, err := Append([]byte("before"), &value)
	if err != nil {
		t.Fatal(err)
	}
	ours = ours[len("before"):]
	theirs, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal(ours, &got); err != nil {
		t.Fatalf("%v in %.300q", err, ours)
	}
	if err := json.Unmarshal(theirs, &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %.300q, want %.300q", ours, theirs)
	}
	both[T](t, string(ours))
}

func TestAppend(t *testing.T) {
	same(t, specs.Spec{})
	same(t, oddities{Time: time.Unix(1e9, 123).UTC(), Hidden: "x", Renamed: 1, Text: "\xff\x00\x1f\"\\<é\u2028", Many: []specs.Mount{}, Map: map[string]*int{"b": nil, "a": new(int)}})
	data, err := os.ReadFile("testdata/runc-spec.json")
	if err != nil {
		t.Fatal(err)
	}
	var spec, full specs.Spec
	if err := json.Unmarshal(data, &spec); err != nil {
		t.Fatal(err)
	}
	same(t, spec)
	n := 0
	fill(reflect.ValueOf(&full).Elem(), &n)
	full.Windows.CredentialSpec = nil
	same(t, full)
	if _, err := Append(nil, struct{ C chan int }{}); err == nil {
		t.Error("a channel was encoded")
	}
}
