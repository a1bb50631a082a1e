package strict

import (
	"bytes"
	"cmp"
	"fmt"
	"strconv"
	"unicode/utf8"
)

const (
	// MaxSize is the size of the largest file that is parsed, in bytes.
	MaxSize = 1 << 20
	// MaxDepth is how deeply lists and objects may nest.
	MaxDepth = 64
	// maxNodes bounds what the aliases of a YAML file expand to.
	maxNodes = 200_000
)

// Kind is the type of a value in a file.
type Kind int

// The kinds of values. Null counts as absent wherever a field is optional.
const (
	Null Kind = iota
	Bool
	Number
	String
	List
	Object
)

// String returns the kind with its article, for error messages.
func (k Kind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "a list", "an object"}[k]
}

// Node is one value of a file with its position.
type Node struct {
	Kind Kind
	// Line and Column of the value's first character, both from 1.
	Line, Column int
	// Text is the content of a string, a number as JSON writes it, or true or false.
	Text string
	// Written is how the file has it where that differs from Text: yes, 0x1f.
	Written string
	// Items are the values of a list.
	Items []*Node
	// Members are the fields of an object in the order of the file, each key once.
	Members []Member
}

// Member is one field of an object.
type Member struct {
	Key string
	// Line and Column of the key.
	Line, Column int
	Value        *Node
}

// Member returns the value of a field, or nil.
func (n *Node) Member(key string) *Node {
	for i := range n.Members {
		if n.Members[i].Key == key {
			return n.Members[i].Value
		}
	}
	return nil
}

// describe says what a node is, for "found …": scalars with their value.
func (n *Node) describe() string {
	switch n.Kind {
	case Bool, Number:
		if n.Written != "" && n.Kind == Bool {
			return n.Written + ", which is a boolean to Kubernetes' YAML"
		}
		return shorten(cmp.Or(n.Written, n.Text))
	case String:
		return "the string " + quote(n.Text)
	case Object:
		if len(n.Members) == 0 {
			return "an empty object"
		}
	case List:
		if len(n.Items) == 0 {
			return "an empty list"
		}
	}
	return n.Kind.String()
}

// quote quotes a value for an error message and shortens it.
func quote(s string) string { return strconv.Quote(shorten(s)) }

func shorten(s string) string {
	const limit = 60
	if len(s) <= limit {
		return s
	}
	cut := limit
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// Document is a parsed file.
type Document struct {
	File string
	Root *Node
}

// Parse reads one JSON or YAML document: JSON when the first character is a
// brace, as kubectl tells them apart, otherwise YAML. File is used in errors only.
// The error is an *Errors.
func Parse(file string, data []byte) (*Document, error) {
	data, json, err := text(file, data)
	if err != nil {
		return nil, err
	}
	parse := parseYAML
	if json {
		parse = parseJSON
	}
	root, errs := parse(file, data)
	if err := errs.Err(); err != nil {
		return nil, err
	}
	return &Document{File: file, Root: root}, nil
}

// ParseAll reads all documents of a file, at least one: JSON objects one after
// the other, YAML documents with --- between them, or JSON and then YAML. Empty
// documents are left out, as kubectl does it. All positions are those in the
// file, and the limits hold for all documents together. The error is an *Errors.
func ParseAll(file string, data []byte) ([]*Document, error) {
	data, json, err := text(file, data)
	if err != nil {
		return nil, err
	}
	parse := parseYAMLStream
	if json {
		parse = parseJSONStream
	}
	roots, errs := parse(file, data)
	if err := errs.Err(); err != nil {
		return nil, err
	}
	var list []*Document
	for _, root := range roots {
		list = append(list, &Document{File: file, Root: root})
	}
	return list, nil
}

// text checks what a file must be whatever is in it, and looks whether that
// begins as JSON.
func text(file string, data []byte) (content []byte, json bool, err error) {
	fail := func(format string, args ...any) ([]byte, bool, error) {
		return nil, false, &Errors{List: []*Error{{File: file, Err: fmt.Errorf(format, args...)}}}
	}
	if len(data) > MaxSize {
		return fail("the file has more than %d bytes", MaxSize)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !utf8.Valid(data) {
		return fail("the file is not UTF-8 text")
	}
	trimmed := bytes.TrimLeft(data, " \t\r\n")
	if len(trimmed) == 0 {
		return fail("the file is empty")
	}
	return data, trimmed[0] == '{', nil
}

// Errorf returns an error at the value of the field, or where that is absent, at
// the nearest enclosing value that is there. It works on a nil Document too:
// then the error names the field only.
func (d *Document) Errorf(field, format string, args ...any) *Error {
	e := &Error{Field: field, Err: fmt.Errorf(format, args...)}
	if d == nil {
		return e
	}
	e.File = d.File
	e.Line, e.Column = d.Position(field)
	return e
}

// Position returns line and column of the value of a field, whose path is
// written as errors write it: spec.containers[1].env[0].name,
// metadata.labels["app"]. For an absent field it is the position of the nearest
// enclosing value.
func (d *Document) Position(field string) (line, column int) {
	n, at := d.Root, ""
	line, column = n.Line, n.Column
next:
	for at != field {
		for i := range n.Members {
			m := &n.Members[i]
			for _, path := range [2]string{join(at, m.Key), joinKey(at, m.Key)} {
				if leadsTo(path, field) {
					n, at = m.Value, path
					line, column = n.Line, n.Column
					if n.Kind == List || n.Kind == Object {
						// A list of YAML begins on the line after its key,
						// and an error about all of it reads better at the key.
						line, column = m.Line, m.Column
					}
					continue next
				}
			}
		}
		for i, item := range n.Items {
			if path := joinIndex(at, i); leadsTo(path, field) {
				n, at, line, column = item, path, item.Line, item.Column
				continue next
			}
		}
		return line, column
	}
	return line, column
}

// leadsTo reports whether path is field or one of its ancestors.
func leadsTo(path, field string) bool {
	if len(path) > len(field) || field[:len(path)] != path {
		return false
	}
	return len(path) == len(field) || field[len(path)] == '.' || field[len(path)] == '['
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func joinKey(path, key string) string { return path + "[" + strconv.Quote(key) + "]" }

func joinIndex(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
