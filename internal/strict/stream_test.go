package strict

import (
	"fmt"
	"strings"
	"testing"
)

// summary has kind and position of each document, with its field a.
func summary(list []*Document) string {
	var parts []string
	for _, d := range list {
		a := ""
		if n := d.Root.Member("a"); n != nil {
			a = fmt.Sprintf(" %s@%d:%d", n.Text, n.Line, n.Column)
		}
		parts = append(parts, fmt.Sprintf("%d:%d%s", d.Root.Line, d.Root.Column, a))
	}
	return strings.Join(parts, " | ")
}

func TestParseAll(t *testing.T) {
	for _, tt := range []struct{ data, want string }{
		{`{"a": 1}`, "1:1 1@1:7"},
		{`{"a": 1}{"a": 2}`, "1:1 1@1:7 | 1:9 2@1:15"},
		{"{\"a\": 1}\n\n {\"a\": 2}\n", "1:1 1@1:7 | 3:2 2@3:8"},
		{"{\"a\": 1}\n---\n{\"a\": 2}\n---\n---\n", "1:1 1@1:7 | 3:1 2@3:7"},
		{"{\"a\": 1}\n---\na: 2\nb: 3\n---\na: 4\n", "1:1 1@1:7 | 3:1 2@3:4 | 6:1 4@6:4"},
		{"{\"a\": 1}\n---\n# why\n  a: 2\n  b: 3\n", "1:1 1@1:7 | 4:3 2@4:6"},
		{"{\"a\": 1}\n---\n  a: 2\n  b: 3\n", "1:1 1@1:7 | 3:3 2@3:6"},
		{"a: 1\n---\na: 2\n", "1:1 1@1:4 | 3:1 2@3:4"},
		{"---\n# none\n---\na: 1\n---\n---\n{\"a\": 2}\n...\n", "4:1 1@4:4 | 7:1 2@7:7"},
		{"a: |\n  x\n  ---\n---\na: z\n", "1:1 x\n---\n@1:4 | 5:1 z@5:4"},
		{"- 1\n---\n5\n", "1:1 | 3:1"},

		{"", "f: the file is empty"},
		{"---\n---\n", "f: the file is empty but for comments"},
		{`{"a": 1},{"a": 2}`, "f:1:9: found ',' after the end of an object; another one may follow, with nothing or a line --- between them"},
		{`{"a": 1} --- {"a": 2}`, "f:1:10: found '-' after the end of an object; another one may follow, with nothing or a line --- between them"},
		{"{\"a\": 1}\nb: 2\n", "f:2:1: found 'b' after the end of an object; another one may follow, with nothing or a line --- between them"},
		{"{\"a\": 1}\n{\"a\": }\n", "f:2:7: found '}', expected a value"},
		{"{\"a\": 1}\n---\na: 1\na: 2\n", `f:4:1: duplicate field "a"; it is on line 3 already`},
		{"a: 1\na: 2\n---\nb: 1\nb: 2\n", `f:2:1: duplicate field "a"; it is on line 1 already` + "\n" + `f:5:1: duplicate field "b"; it is on line 4 already`},
		{"a: 1\n---\na: [\n", "f:3:1: did not find expected node content"},
	} {
		list, err := ParseAll("f", []byte(tt.data))
		got := summary(list)
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%q\n got %s\nwant %s", tt.data, got, tt.want)
		}
	}
}

// What is bounded for one document is bounded for all of them together.
func TestParseAllLimits(t *testing.T) {
	many := strings.Repeat("["+strings.Repeat("0,", 50_000)+"0]\n---\n", 5)
	if _, err := ParseAll("f", []byte(many)); err == nil || !strings.Contains(err.Error(), "more than 200000 values") {
		t.Errorf("%.200v", err)
	}
}

// FuzzParseAll looks for panics, positions outside of the file, and single
// documents that the two ways of parsing see differently.
func FuzzParseAll(f *testing.F) {
	f.Add("{\"a\": 1}\n---\na: 2\n---\n{}")
	f.Add("{}{} {}\n---\n---\n{}")
	f.Add("---\n# x\n--- !!map\na: &x {b: *x}\n...\n---\n")
	f.Fuzz(func(t *testing.T, data string) {
		list, err := ParseAll("f", []byte(data))
		if err == nil && len(list) == 0 {
			t.Fatal("neither documents nor an error")
		}
		if err != nil && strings.Contains(err.Error(), "YAML reader failed") {
			t.Fatal(err)
		}
		for _, d := range list {
			walk(t, d.Root, 0)
			if d.Root.Line < 1 || d.Root.Line > len(data)+1 { // a line may end with \r or U+2028
				t.Fatalf("a document on line %d", d.Root.Line)
			}
		}
		one, oneErr := Parse("f", []byte(data))
		if oneErr == nil && (err != nil || one.Root.Kind != Null && summary(list) != summary([]*Document{one})) {
			t.Fatalf("%v %s, alone %s", err, summary(list), summary([]*Document{one}))
		}
	})
}
