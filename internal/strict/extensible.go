package strict

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"unicode/utf8"
)

const (
	// maxSizeExtensible is 16 MiB: engines write thousands of mounts and
	// variables into a config.json.
	maxSizeExtensible = 16 << 20
	// maxDepthExtensible is the limit of encoding/json.
	maxDepthExtensible = 10000
)

// DecodeExtensible decodes a JSON file of a format that has unknown fields
// ignored, such as the OCI's, into the struct that into points to. It takes
// what encoding/json takes, and makes the same of it: field names may differ in
// case, null leaves a value alone, the last of duplicate fields wins, what is
// not UTF-8 is replaced. Only json tags that name a field are supported; types
// may have an UnmarshalText on their pointer when they have a method on their
// value too. The error is an *Errors.
//
// It is here for the start of a process, where encoding/json spends a
// millisecond on the types of the OCI specification, used or not; and for its
// errors, which name the place of more than broken syntax.
func DecodeExtensible(file string, data []byte, into any) error {
	return DecodeNoting(file, data, into, nil)
}

// DecodeNoting is DecodeExtensible, and calls misspelt, unless it is nil, with each
// field that is unknown and nearly has the name of a known one. It is an error that
// says so, with file, line and column.
func DecodeNoting(file string, data []byte, into any, misspelt func(*Error)) error {
	if len(data) > maxSizeExtensible {
		return &Errors{List: []*Error{{File: file, Err: fmt.Errorf("the file has more than %d bytes", maxSizeExtensible)}}}
	}
	p := &jsonParser{file: file, data: string(data), lenient: true, errs: &Errors{}, line: 1, column: 1}
	if !utf8.ValidString(p.data) {
		p.data = string([]rune(p.data)) // one U+FFFD for each bad byte
	}
	root, errs := p.document()
	if err := errs.Err(); err != nil {
		return err
	}
	dec := decoder{d: &Document{File: file, Root: root}, lenient: true, misspelt: misspelt}
	dec.value(root, reflect.ValueOf(into).Elem())
	return dec.errs.Err()
}

// setNull is what null does to a value: there may be one from a field of the
// same name above.
func setNull(v reflect.Value) {
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer, reflect.Map, reflect.Slice:
		v.SetZero()
	}
}

// text decodes into an encoding.TextUnmarshaler, such as a time. Taking the
// address of a value makes reflection look for the pointer's type, so only
// types that have methods at all are asked.
func (d *decoder) text(n *Node, v reflect.Value) bool {
	if v.Type().NumMethod() == 0 || v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		return false
	}
	u, ok := v.Addr().Interface().(encoding.TextUnmarshaler)
	if ok && d.is(n, String) {
		if err := u.UnmarshalText([]byte(n.Text)); err != nil {
			d.fail(n, "%w", err)
		}
	}
	return ok
}

// plain is the value of an interface: nil, bool, float64, string, []any or
// map[string]any.
func (d *decoder) plain(n *Node) any {
	switch n.Kind {
	case Bool:
		return n.Text == "true"
	case Number:
		f, err := strconv.ParseFloat(n.Text, 64)
		if err != nil {
			d.fail(n, "found %s, which is out of range", shorten(n.Text))
		}
		return f
	case String:
		return n.Text
	case List:
		list := make([]any, len(n.Items))
		for i, item := range n.Items {
			list[i] = d.plain(item)
		}
		return list
	case Object:
		m := make(map[string]any, len(n.Members))
		for _, member := range n.Members {
			m[member.Key] = d.plain(member.Value)
		}
		return m
	}
	return nil
}
