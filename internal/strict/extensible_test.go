package strict

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// both decodes data with encoding/json too and compares: what is taken, and what is made of it.
func both[T any](t *testing.T, data string) {
	t.Helper()
	var got, want T
	wantErr := json.Unmarshal([]byte(data), &want)
	err := DecodeExtensible("f", []byte(data), &got)
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%.300q: %v, encoding/json: %v", data, err, wantErr)
	}
	if err == nil && !reflect.DeepEqual(got, want) {
		t.Fatalf("%.300q:\n got %#v\nwant %#v", data, got, want)
	}
}

func TestExtensibleDefaultSpec(t *testing.T) {
	data, err := os.ReadFile("testdata/runc-spec.json")
	if err != nil {
		t.Fatal(err)
	}
	both[specs.Spec](t, string(data))
}

// fill gives every field of every struct a value of its own.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for _, key := range []string{"a", "é \"\\\n<"} {
			element := reflect.New(v.Type().Elem()).Elem()
			fill(element, n)
			v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), element)
		}
	case reflect.String:
		v.SetString(fmt.Sprintf("text \"%d\"\u2028", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(-int64(*n))
		if v.Kind() == reflect.Int64 {
			v.SetInt(-1 << 63)
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*n))
		if v.Kind() == reflect.Uint64 {
			v.SetUint(1<<64 - 1)
		}
	case reflect.Interface:
		v.Set(reflect.ValueOf(map[string]any{"a": []any{1.5, "x", nil, true, map[string]any{}}}))
	default:
		panic(v.Type())
	}
}

func TestExtensibleEveryField(t *testing.T) {
	var want, got specs.Spec
	n := 0
	fill(reflect.ValueOf(&want).Elem(), &n)
	data, err := json.MarshalIndent(want, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := DecodeExtensible("f", data, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
	}
	both[specs.Spec](t, string(data))
	both[specs.Spec](t, strings.ToUpper(string(data))) // the escapes' letters too: refused by both
	both[specs.Spec](t, strings.ReplaceAll(string(data), `"linux"`, `"LiNuX"`))
}

type oddities struct {
	Time     time.Time                 `json:"time"`
	When     *time.Time                `json:"when,omitempty"`
	Untagged string                    // Untagged
	Renamed  int                       `json:",omitempty"`
	Hidden   string                    `json:"-"`
	Any      any                       `json:"any"`
	Many     []specs.Mount             `json:"many"`
	Map      map[string]*int           `json:"map"`
	Names    map[kind]string           `json:"names"`
	Process  *specs.Process            `json:"process"`
	Text     string                    `json:"text"`
	Devices  []specs.LinuxWeightDevice `json:"devices"`
	specs.Box
	specs.LinuxThrottleDevice
}

type kind string

var oddCases = []string{
	`{}`, ` null `, `[]`, `1`, `"x"`, `true`, ``, ` `, "\ufeff{}", `{} {}`, `{"text":"a"},`,
	`{"time":"2024-02-29T12:00:00.123456789+01:00","when":"2001-01-01T00:00:00Z"}`, `{"time":null,"when":null}`,
	`{"time":"2024"}`, `{"time":5}`, `{"time":{}}`, `{"time":[]}`,
	`{"untagged":"x","renamed":5,"hidden":"y","Hidden":"z","-":"w"}`, `{"Renamed":1,"renamed":2,"RENAMED":null}`,
	`{"any":1}`, `{"any":null}`, `{"any":{"a":[1e3,-0,"é",null,true,[],{}],"a":2}}`, `{"any":1e999}`, `{"x":1e999}`, `{"any":[1e999]}`,
	`{"many":[{"destination":"a","options":["x","y"]},{"destination":"b"},{"type":"c"}],"many":[{"source":"s"}],"many":[null,{"options":["z"]}]}`,
	`{"many":[{"type":"a"}],"many":[{},{},{},{}],"many":[],"many":[{}]}`, `{"many":[{"type":"a"}],"many":null}`, `{"many":[null]}`, `{"many":{}}`,
	`{"many":[{"type":"a"},{"type":"b"},{"type":"c"}],"many":[{}],"many":[{},{},{},{},{}]}`,
	`{"map":{"a":1,"b":null,"a":2},"map":{"c":3}}`, `{"map":{"a":1},"map":null}`, `{"map":[]}`, `{"names":{"x":"y","\ud800":"\udc00z","\ud83d\ude00":"\ud83d\u0041"}}`,
	`{"process":{"args":["a"],"user":{"uid":4294967295}},"process":{"cwd":"/","user":{"gid":1}}}`, `{"process":{"user":{"uid":4294967296}}}`,
	`{"process":{"user":{"uid":-1}}}`, `{"process":{"user":{"uid":-0}}}`, `{"process":{"user":{"uid":1.0}}}`, `{"process":{"user":{"uid":1e3}}}`, `{"process":{"oomScoreAdj":-0}}`,
	`{"process":{"args":"sh"}}`, `{"process":{"args":[1]}}`, `{"process":{"terminal":"true"}}`, `{"process":{"terminal":null,"args":null,"capabilities":null}}`,
	`{"PROCESS":{"ARGS":["x"]}}`, `{"devices":[{"major":1,"minor":2,"weight":3}]}`, `{"major":1,"rate":2,"width":3}`, `{"devices":[{"weight":65536}]}`,
	"{\"text\":\"a\xffb\xc3\"}", "{\"a\xff\":1}", "\xff{}", `{"text":"\u0000"}`, "{\"text\":\"\x00\"}", "{\"text\":\"\t\"}", "{\"text\":\"\x7f\"}", `{"text":"\x"}`, `{"text":"\u00e"}`, `{"text":"\ud83d"}`,
	`{"box":1,"LinuxThrottleDevice":{"rate":1},"height":5,"ſ":1}`, `{"proceſſ":{"cwd":"x"},"maⓅ":1}`,
	strings.Repeat(`{"a":`, 9999) + `1` + strings.Repeat(`}`, 9999), strings.Repeat(`[`, 10001) + strings.Repeat(`]`, 10001), `{"x":` + strings.Repeat(`[`, 9999) + strings.Repeat(`]`, 9999) + `}`,
	`{"any":` + strings.Repeat(`[`, 10000) + strings.Repeat(`]`, 10000) + `}`,
}

func TestExtensibleOddities(t *testing.T) {
	for _, data := range oddCases {
		both[oddities](t, data)
		both[specs.Spec](t, data)
	}
}

func TestExtensibleErrors(t *testing.T) {
	for _, tt := range []struct{ data, want string }{
		{"{\"process\": {\n\t\"args\": \"sh\"}}", `f:2:10: process.args: found the string "sh", expected a list; put it into [ ]`},
		{`{"process": {"args": ["a", 5]}}`, `f:1:28: process.args[1]: found 5, expected a string; put it into quotes`},
		{`{"process": {"user": {"uid": -1}}}`, `f:1:30: process.user.uid: found -1, expected a number that is not negative`},
		{`{"process": {"user": {"uid": 4294967296}}}`, `f:1:30: process.user.uid: found 4294967296, which is out of range`},
		{`{"linux": {"sysctl": {"net.core": 1}}}`, `f:1:35: linux.sysctl["net.core"]: found 1, expected a string; put it into quotes`},
		{`{"mounts": [}`, `f:1:13: found '}', expected a value`},
		{`[]`, `f:1:1: found an empty list, expected an object`},
		{strings.Repeat(" ", maxSizeExtensible+1), `f: the file has more than 16777216 bytes`},
	} {
		err := DecodeExtensible("f", []byte(tt.data), new(specs.Spec))
		var errs *Errors
		if !errors.As(err, &errs) || err.Error() != tt.want {
			t.Errorf("%.80s\n got %v\nwant %s", tt.data, err, tt.want)
		}
	}
}

// TestExtensibleLarge takes what no limit for handwritten files would.
func TestExtensibleLarge(t *testing.T) {
	want := specs.Spec{Process: &specs.Process{}}
	for i := range 100_000 {
		want.Process.Env = append(want.Process.Env, fmt.Sprintf("VARIABLE_%d=%s", i, strings.Repeat("x", 100)))
	}
	for i := range 10_000 {
		want.Mounts = append(want.Mounts, specs.Mount{Destination: fmt.Sprint("/mnt/", i), Type: "bind", Options: []string{"rbind", "ro"}})
	}
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	both[specs.Spec](t, string(data))
}

// FuzzExtensible compares with encoding/json: values, and what is refused.
func FuzzExtensible(f *testing.F) {
	for _, data := range oddCases {
		if len(data) < 1000 {
			f.Add(data)
		}
	}
	var full specs.Spec
	n := 0
	fill(reflect.ValueOf(&full).Elem(), &n)
	full.Windows, full.ZOS, full.FreeBSD, full.Solaris, full.VM = nil, nil, nil, nil, nil
	data, _ := json.Marshal(full)
	f.Add(string(data))
	spec, _ := os.ReadFile("testdata/runc-spec.json")
	f.Add(string(spec))
	f.Fuzz(func(t *testing.T, data string) {
		both[oddities](t, data)
		both[specs.Spec](t, data)
	})
}
