package strict

import (
	"errors"
	"io/fs"
	"reflect"
	"strings"
	"testing"
)

type inner struct {
	Name string `json:"name"`
	Port int16  `json:"port,omitempty"`
}

type outer struct {
	Text    string            `json:"text"`
	Flag    bool              `json:"flag"`
	Maybe   *bool             `json:"maybe"`
	Number  int64             `json:"number"`
	Inner   inner             `json:"inner"`
	Pointer *inner            `json:"pointer"`
	List    []inner           `json:"list"`
	Words   []string          `json:"words"`
	Labels  map[string]string `json:"labels"`
	Inners  map[string]inner  `json:"inners"`
	Upper   upper             `json:"upper"`
	Hidden  string            `json:"-"`
	Untaged string
}

func (outer) Refusals() map[string]Refusal {
	return map[string]Refusal{"old": {Reason: "gone"}, "past": {Reason: "gone too", Remedy: "write text"}, "mode": {Reason: "one mode only", Unless: "plain"}}
}

// upper takes strings and shouts them.
type upper string

func (u *upper) UnmarshalNode(n *Node) error {
	if n.Kind != String {
		return fs.ErrInvalid
	}
	*u = upper(strings.ToUpper(n.Text))
	return nil
}

func TestDecode(t *testing.T) {
	yes := true
	want := outer{
		Text: "é", Flag: true, Maybe: &yes, Number: -9223372036854775808,
		Inner: inner{"n", 32767}, Pointer: &inner{Name: "p"},
		List: []inner{{"a", 1}, {"b", 0}}, Words: []string{}, Upper: "LOUD",
		Labels: map[string]string{"a.b/c": "d"}, Inners: map[string]inner{"x": {"y", 0}},
	}
	for _, data := range []string{
		`{"text": "é", "flag": true, "maybe": true, "number": -9223372036854775808, "inner": {"name": "n", "port": 32767},
		"pointer": {"name": "p", "port": null}, "list": [{"name": "a", "port": 1}, {"name": "b"}], "words": [], "upper": "loud",
		"labels": {"a.b/c": "d"}, "inners": {"x": {"name": "y"}}, "old": null, "mode": "plain"}`,
		"text: é\nflag: yes\nmaybe: true\nnumber: -9223372036854775808\ninner: &i {name: 'n', port: 0x7fff}\npointer: {name: p}\n" +
			"list:\n- name: a\n  port: 1\n- {name: b}\nwords: []\nupper: loud\nlabels:\n  a.b/c: d\ninners: {x: {name: 'y'}}\nold: []\nmode: plain\n",
	} {
		d, err := Parse("f", []byte(data))
		if err != nil {
			t.Fatal(err)
		}
		var got outer
		if err := d.Decode(&got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s\n got %+v, %v\nwant %+v", data, got, err, want)
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	for _, tt := range []struct{ data, want string }{
		{`{"text": {}}`, `f:1:10: text: found an empty object, expected a string`},
		{`{"text": ["` + strings.Repeat("x", 99) + `"], "flag": "` + strings.Repeat("é", 99) + `"}`,
			"f:1:10: text: found a list, expected a string\nf:1:123: flag: found the string \"" + strings.Repeat("é", 30) + "…\", expected a boolean"},
		{`{"flag": "true"}`, `f:1:10: flag: found the string "true", expected a boolean; leave out the quotes`},
		{`{"inner": {"port": 32768}}`, `f:1:20: inner.port: found 32768, which is out of range`},
		{`{"inner": {"port": 1e2}}`, `f:1:20: inner.port: found 1e2, expected a whole number`},
		{`{"inner": []}`, `f:1:11: inner: found an empty list, expected an object`},
		{`{"inners": {"a.b": {"nam": "x"}}}`, `f:1:21: inners["a.b"].nam: unknown field; did you mean name?`},
		{`{"labels": {"a": 1}}`, `f:1:18: labels["a"]: found 1, expected a string; put it into quotes`},
		{`{"upper": 1}`, `f:1:11: upper: invalid argument`},
		{`{"Hidden": "x", "Untaged": "y", "-": "z", "": "w"}`, "f:1:2: Hidden: unknown field\nf:1:17: Untaged: unknown field\nf:1:33: -: unknown field\nf:1:43: unknown field"},
		{`{"past": 1}`, "f:1:2: past: gone too; write text, or leave the field out"},
		{`{"old": 1, "mode": "fancy", "mod": 1}`, "f:1:2: old: gone; leave the field out\nf:1:20: mode: found the string \"fancy\": one mode only; leave the field out\nf:1:29: mod: unknown field; did you mean mode?"},
		{"flag: maybe\nnumber: 1.5\ninner: {port: yes}\n", "f:1:7: flag: found the string \"maybe\", expected a boolean\nf:2:9: number: found 1.5, expected a whole number\n" +
			"f:3:15: inner.port: found yes, which is a boolean to Kubernetes' YAML, expected a number"},
	} {
		d, err := Parse("f", []byte(tt.data))
		if err != nil {
			t.Fatal(err)
		}
		err = d.Decode(new(outer))
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s\n got %v\nwant %s", tt.data, err, tt.want)
		}
	}
}

func TestErrorsUnwrap(t *testing.T) {
	d, err := Parse("f", []byte(`{"upper": 1, "flag": 0}`))
	if err != nil {
		t.Fatal(err)
	}
	err = d.Decode(new(outer))
	var one *Error
	if !errors.Is(err, fs.ErrInvalid) || !errors.As(err, &one) || one.Field != "upper" || one.Line != 1 || one.Column != 11 {
		t.Errorf("%#v", err)
	}
}

// FuzzDecode looks for panics, and for errors without a place in the file.
func FuzzDecode(f *testing.F) {
	f.Add(`{"text": "x", "list": [{"name": "a"}], "labels": {"a": "b"}, "old": 1}`)
	f.Add("maybe: yes\npointer: {name: p}\ninners: {x: {name: y}}\nupper: 1\n")
	f.Fuzz(func(t *testing.T, data string) {
		d, err := Parse("f", []byte(data))
		if err != nil {
			return
		}
		var errs *Errors
		if err := d.Decode(new(outer)); err != nil && !errors.As(err, &errs) {
			t.Fatalf("%#v", err)
		}
		if errs != nil {
			for _, e := range errs.List {
				if e.Line < 1 || e.Column < 1 || e.File != "f" {
					t.Fatalf("%q: %#v", data, e)
				}
			}
		}
	})
}
