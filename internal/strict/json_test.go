package strict

import (
	"encoding/json"
	"strings"
	"testing"
)

// parseError returns the text of Parse's error, "" for none.
func parseError(data string) string {
	if _, err := Parse("f", []byte(data)); err != nil {
		return err.Error()
	}
	return ""
}

func TestJSONErrors(t *testing.T) {
	for _, tt := range []struct{ data, want string }{
		{`{}`, ``},
		{"\ufeff {\"a\": [1, -2.5e+3, \"x\\u00e9\\ud83d\\ude00\\n\", true, false, null, {}, []]}\n", ``},
		{``, `f: the file is empty`},
		{" \n", `f: the file is empty`},
		{"{\"a\xff\": 1}", `f: the file is not UTF-8 text`},
		{`{"a": 1,}`, `f:1:9: found '}' after a comma; leave out the comma before it`},
		{`{"a": [1,]}`, `f:1:10: found ']' after a comma; leave out the comma before it`},
		{"{\n  \"a\": 1\n  \"b\": 2\n}", `f:3:3: found '"', expected ',' or '}'; is a comma missing before it?`},
		{`{"a": 1`, `f:1:8: found the end of the file, expected ',' or '}': the object is not closed`},
		{`{"a": [1`, `f:1:9: found the end of the file, expected ',' or ']': the list is not closed`},
		{`{"a": 1} {}`, `f:1:10: found '{' after the end of the document; a file holds one object`},
		{`{a: 1}`, `f:1:2: found 'a', expected a field name in double quotes`},
		{`{"a" 1}`, `f:1:6: found '1', expected ':' after the field name "a"`},
		{`{"a": 'x'}`, `f:1:7: found a single quote; JSON wants strings in double quotes`},
		{`{"a": x}`, `f:1:7: found x, expected a value; put strings into double quotes`},
		{`{"a": }`, `f:1:7: found '}', expected a value`},
		{"{ // c\n}", `f:1:3: found '/'; JSON has no comments`},
		{"{\"a\": 1 # c\n}", `f:1:9: found '#'; JSON has no comments`},
		{`{"a": 01}`, `f:1:7: this is not a number of JSON: no leading zeros, digits on both sides of the point`},
		{`{"a": 64Mi}`, `f:1:7: found something else right after the number 64; put strings into double quotes`},
		{`{"a": "x}`, `f:1:7: the string that begins here has no closing quote`},
		{"{\"a\": \"x\n\"}", `f:1:7: the string that begins here has no closing quote on its line`},
		{"{\"a\": \"x\ty\"}", `f:1:9: found the control character '\t' in a string; write it as \u0009`},
		{`{"a": "x\q"}`, `f:1:9: unknown escape in a string; JSON has \" \\ \/ \b \f \n \r \t and \u with four hexadecimal digits`},
		{`{"a": "\ud800"}`, `f:1:8: unknown escape in a string; JSON has \" \\ \/ \b \f \n \r \t and \u with four hexadecimal digits`},
		{"{\"é\": 1,\n \"é\": 2, \"b\": 1, \"b\": 2}", "f:2:2: duplicate field \"é\"; it is on line 1 already\nf:2:18: duplicate field \"b\"; it is on line 2 already"},
		{strings.Repeat(`{"a":`, 65), `f:1:321: lists and objects nest more than 64 deep`},
		{`{"a":"` + strings.Repeat("x", MaxSize) + `"}`, `f: the file has more than 1048576 bytes`},
	} {
		if got := parseError(tt.data); got != tt.want {
			t.Errorf("%.80q\n got %s\nwant %s", tt.data, got, tt.want)
		}
	}
}

// FuzzJSON compares with encoding/json: what one takes the other takes, apart
// from what is refused on purpose, and the values are the same.
func FuzzJSON(f *testing.F) {
	f.Add(`{"a": [1, -2.5e+3, "x\u00e9\n", true, false, null, {}, []]}`)
	f.Add(`{"a": 01}`)
	f.Add(`"":{"0":0}}`)
	f.Add(`{"a": "\ud83d\ude00"}`)
	f.Add("{\n\"a\" :\t{\"b\":1,\"b\":2}}")
	f.Fuzz(func(t *testing.T, data string) {
		data = "{" + data
		d, err := Parse("f", []byte(data))
		if err != nil {
			refused := strings.Contains(err.Error(), "duplicate") || strings.Contains(err.Error(), "nest more") ||
				strings.Contains(err.Error(), "escape") || strings.Contains(err.Error(), "UTF-8") || len(data) > MaxSize
			if json.Valid([]byte(data)) && !refused {
				t.Fatalf("%q is valid, but: %v", data, err)
			}
			return
		}
		var want any
		r := json.NewDecoder(strings.NewReader(data))
		r.UseNumber()
		if err := r.Decode(&want); err != nil {
			t.Fatalf("%q was taken, but: %v", data, err)
		}
		compare(t, d.Root, want)
		positions(t, d, d.Root, "", strings.Split(data, "\n"))
	})
}

// compare checks that a tree has the values that encoding/json found.
func compare(t *testing.T, n *Node, want any) {
	t.Helper()
	same := false
	switch want := want.(type) {
	case nil:
		same = n.Kind == Null
	case bool:
		same = n.Kind == Bool && (n.Text == "true") == want
	case json.Number:
		same = n.Kind == Number && n.Text == want.String()
	case string:
		same = n.Kind == String && n.Text == want
	case []any:
		if same = n.Kind == List && len(n.Items) == len(want); same {
			for i := range want {
				compare(t, n.Items[i], want[i])
			}
		}
	case map[string]any:
		if same = n.Kind == Object && len(n.Members) == len(want); same {
			for key, value := range want {
				compare(t, n.Member(key), value)
			}
		}
	}
	if !same {
		t.Fatalf("found %+v, want %#v", n, want)
	}
}

// positions checks that each value begins where its node says, and that Position finds it.
func positions(t *testing.T, d *Document, n *Node, path string, lines []string) {
	t.Helper()
	if n.Line < 1 || n.Line > len(lines) || n.Column < 1 || n.Column > len([]rune(lines[n.Line-1])) {
		t.Fatalf("%s: there is no %d:%d", path, n.Line, n.Column)
	}
	first := []rune(lines[n.Line-1])[n.Column-1]
	want := map[Kind]string{Null: "n", Bool: "tf", Number: "-0123456789", String: `"`, List: "[", Object: "{"}[n.Kind]
	if !strings.ContainsRune(want, first) {
		t.Fatalf("%s: %d:%d has %q, want one of %q", path, n.Line, n.Column, first, want)
	}
	if n.Kind < List && !strings.ContainsAny(path, ".[\"") {
		if line, column := d.Position(path); line != n.Line || column != n.Column {
			t.Fatalf("Position(%q) = %d:%d, want %d:%d", path, line, column, n.Line, n.Column)
		}
	}
	for i := range n.Members {
		at := join(path, n.Members[i].Key)
		if n.Members[i].Key == "" { // it leads nowhere: no path of a spec has it
			at = joinKey(path, "")
		}
		positions(t, d, n.Members[i].Value, at, lines)
	}
	for i, item := range n.Items {
		positions(t, d, item, joinIndex(path, i), lines)
	}
}
