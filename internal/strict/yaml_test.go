package strict

import (
	"strings"
	"testing"
)

func TestYAMLErrors(t *testing.T) {
	bomb := "a0: &a0 [x, x]\n"
	names := []string{"a0"}
	for i := 1; i < 30; i++ {
		name := "a" + strings.Repeat("i", i)
		last := names[len(names)-1]
		bomb += name + ": &" + name + " [*" + last + ", *" + last + "]\n"
		names = append(names, name)
	}
	for _, tt := range []struct{ data, want string }{
		{"a: 1\nb: [x, 'y', \"z\", ~, null, true, 0x1f, 1e3, .5, 2001-01-01]\n", ``},
		{"# nothing\n", `f: the file is empty but for comments`},
		{"---\n# nothing\n---\n", `f: the file is empty but for comments`},
		{"---\na: 1\n---\n", ``},
		{"a: 1\n---\nb: 2\n", `f:3:1: a second document begins here; a file holds one`},
		{"a: 1\na: 2\n", `f:2:1: duplicate field "a"; it is on line 1 already`},
		{"a:\n\tb: 1\n", `f:2:1: found a tab in the indentation; YAML wants spaces`},
		{"a: b: c\n", `f:1:1: mapping values are not allowed in this context`},
		{"a: [1\n", `f:1:1: did not find expected ',' or ']'`},
		{"a: &x {b: 1}\nc:\n  <<: *x\n", `f:3:3: merge keys (<<) are not supported; write the fields out`},
		{"a: &x {b: 1}\nc: *x\n", ``},
		{"a: &x [*x]\n", `f:1:4: lists and objects nest more than 64 deep`},
		{"a: *x\n", `f:1:4: there is no anchor &x before its alias`},
		{bomb, `f:1:13: the file has more than 200000 values, aliases counted where they are used`},
		{"1: x\n", `f:1:1: the field name 1 is not a string to YAML; put it into quotes`},
		{"y: x\n", `f:1:1: the field name y is not a string to YAML; put it into quotes`},
		{"[a]: x\n", `f:1:1: this field name is not a plain string`},
		{"a: !!binary aGk=\nb: !x 1\nc: !x [1]\n", "f:1:4: the tag !!binary is not supported; leave it out\nf:2:4: the tag !x is not supported; leave it out\nf:3:4: the tag !x is not supported; leave it out"},
		{"a: .inf\n", `f:1:4: the number .inf cannot be used here`},
		{strings.Repeat("[", 100) + strings.Repeat("]", 100), `f:1:66: lists and objects nest more than 64 deep`},
	} {
		if got := parseError(tt.data); got != tt.want {
			t.Errorf("%.80q\n got %s\nwant %s", tt.data, got, tt.want)
		}
	}
}

func TestYAMLScalars(t *testing.T) {
	for _, tt := range []struct {
		text string
		kind Kind
		want string
	}{
		{"x", String, "x"}, {"'1'", String, "1"}, {`"yes"`, String, "yes"}, {"!!str 1", String, "1"},
		{"yes", Bool, "true"}, {"No", Bool, "false"}, {"on", Bool, "true"}, {"off", Bool, "false"}, {"y", Bool, "true"},
		{"TRUE", Bool, "true"}, {"False", Bool, "false"}, {"~", Null, ""}, {"", Null, ""},
		{"64Mi", String, "64Mi"}, {"500m", String, "500m"}, {"1e3", Number, "1e3"}, {"0.5", Number, "0.5"},
		{".5", Number, "0.5"}, {"+1", Number, "1"}, {"0x1f", Number, "31"}, {"0o17", Number, "15"}, {"017", Number, "15"},
		{"1_000", Number, "1000"}, {"18446744073709551615", Number, "18446744073709551615"},
		{"123456789012345678901234567890", Number, "123456789012345678901234567890"},
		{"2001-01-01", String, "2001-01-01"}, {"10:30", String, "10:30"}, {"|\n  a\n  b\n", String, "a\nb\n"},
	} {
		d, err := Parse("f", []byte("k: "+tt.text))
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		if n := d.Root.Member("k"); n.Kind != tt.kind || n.Text != tt.want {
			t.Errorf("%q is %v %q, want %v %q", tt.text, n.Kind, n.Text, tt.kind, tt.want)
		}
	}
}

// FuzzYAML looks for panics, endless loops and positions outside of the file.
func FuzzYAML(f *testing.F) {
	f.Add("a: 1\nb: [x, 'y', \"z\", ~, true, 0x1f]\n")
	f.Add("a: &x {b: 1}\nc: *x\n<<: *x\n")
	f.Add("a: |\n  x\n  y\n? b\n: - c\n")
	f.Add("%YAML 1.1\n--- !!map\n{a: !!str 1}\n...\n")
	f.Fuzz(func(t *testing.T, data string) {
		if strings.HasPrefix(strings.TrimLeft(data, " \t\r\n"), "{") {
			return
		}
		d, err := Parse("f", []byte(data))
		if err == nil {
			walk(t, d.Root, 0)
		} else if strings.Contains(err.Error(), "YAML reader failed") {
			t.Fatal(err)
		}
	})
}

func walk(t *testing.T, n *Node, depth int) {
	if n.Line < 0 || n.Column < 0 || depth > MaxDepth+1 {
		t.Fatalf("bad node %+v at depth %d", n, depth)
	}
	for i := range n.Members {
		walk(t, n.Members[i].Value, depth+1)
	}
	for _, item := range n.Items {
		walk(t, item, depth+1)
	}
}
