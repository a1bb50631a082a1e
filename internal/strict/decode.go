package strict

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/peapod/peapod/internal/nearest"
)

// Unmarshaler is a type with a notation of its own, such as a quantity. It is
// implemented on pointers. The error says what is wrong with the value; the
// decoder adds file, line and field.
type Unmarshaler interface {
	UnmarshalNode(*Node) error
}

// Refuser is a struct type that knows fields which it does not have. They are
// refused with their reason, as distinct from fields that nobody knows.
type Refuser interface {
	// Refusals returns the known fields by name. It is called when a field is
	// not among the struct's own, so it may build its map each time.
	Refusals() map[string]Refusal
}

// Refusal says why a field is refused.
type Refusal struct {
	// Reason follows "field: ", such as "not supported yet: probes".
	Reason string
	// Unless is a scalar that is accepted all the same, because it asks for
	// what happens anyway: a default, written out. "" for none.
	Unless string
}

// Decode fills the struct that into points to by the json tags of its fields.
// Field names are case-sensitive, null counts as absent. Fields may be structs,
// pointers, slices, maps from strings, strings, booleans, integers, and types
// that implement Unmarshaler on their pointer. The error is an *Errors.
func (d *Document) Decode(into any) error {
	dec := decoder{d: d, fields: map[reflect.Type][]field{}}
	dec.value(d.Root, "", reflect.ValueOf(into).Elem())
	return dec.errs.Err()
}

type decoder struct {
	d      *Document
	errs   Errors
	fields map[reflect.Type][]field
}

// field is one field of a struct type.
type field struct {
	name  string
	index int
}

func (d *decoder) fail(n *Node, path, format string, args ...any) {
	d.failAt(n.Line, n.Column, path, format, args...)
}

func (d *decoder) failAt(line, column int, path, format string, args ...any) {
	d.errs.Add(&Error{File: d.d.File, Line: line, Column: column, Field: path, Err: fmt.Errorf(format, args...)})
}

func (d *decoder) value(n *Node, path string, v reflect.Value) {
	if n.Kind == Null {
		return
	}
	if u, ok := v.Addr().Interface().(Unmarshaler); ok {
		if err := u.UnmarshalNode(n); err != nil {
			d.fail(n, path, "%w", err)
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, path, v.Elem())
	case reflect.Struct:
		if d.is(n, path, Object) {
			d.object(n, path, v)
		}
	case reflect.Map:
		if d.is(n, path, Object) {
			d.mapping(n, path, v)
		}
	case reflect.Slice:
		if d.is(n, path, List) {
			d.list(n, path, v)
		}
	case reflect.String:
		if d.is(n, path, String) {
			d.string(n, path, v)
		}
	case reflect.Bool:
		if d.is(n, path, Bool) {
			v.SetBool(n.Text == "true")
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if d.is(n, path, Number) {
			d.integer(n, path, v)
		}
	default:
		panic("strict: cannot decode into " + v.Type().String())
	}
}

// is refuses a value of the wrong kind.
func (d *decoder) is(n *Node, path string, want Kind) bool {
	if n.Kind == want {
		return true
	}
	remedy := ""
	switch {
	case want == String && (n.Kind == Number || n.Kind == Bool):
		remedy = "; put it into quotes"
	case want == Number && n.Kind == String && numberEnd([]byte(n.Text), 0) == len(n.Text) && n.Text != "",
		want == Bool && n.Kind == String && (n.Text == "true" || n.Text == "false"):
		remedy = "; leave out the quotes"
	case want == List && path != "":
		remedy = "; put it into [ ]"
	}
	d.fail(n, path, "found %s, expected %s%s", n.describe(), want, remedy)
	return false
}

func (d *decoder) string(n *Node, path string, v reflect.Value) {
	if strings.IndexByte(n.Text, 0) >= 0 {
		d.fail(n, path, "found a NUL character in the string %s; no name, argument or path can hold one", quote(n.Text))
		return
	}
	v.SetString(n.Text)
}

func (d *decoder) integer(n *Node, path string, v reflect.Value) {
	i, err := strconv.ParseInt(n.Text, 10, 64)
	if err != nil && strings.ContainsAny(n.Text, ".eE") {
		d.fail(n, path, "found %s, expected a whole number", shorten(n.Text))
		return
	}
	if err != nil || v.OverflowInt(i) {
		d.fail(n, path, "found %s, which is out of range", shorten(n.Text))
		return
	}
	v.SetInt(i)
}

func (d *decoder) list(n *Node, path string, v reflect.Value) {
	// An empty list stays distinct from an absent one.
	list := reflect.MakeSlice(v.Type(), len(n.Items), len(n.Items))
	for i, item := range n.Items {
		at := joinIndex(path, i)
		if item.Kind == Null {
			d.fail(item, at, "found null; leave the entry out")
			continue
		}
		d.value(item, at, list.Index(i))
	}
	v.Set(list)
}

func (d *decoder) mapping(n *Node, path string, v reflect.Value) {
	m := reflect.MakeMapWithSize(v.Type(), len(n.Members))
	for i := range n.Members {
		member := &n.Members[i]
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(member.Value, joinKey(path, member.Key), element)
		m.SetMapIndex(reflect.ValueOf(member.Key).Convert(v.Type().Key()), element)
	}
	v.Set(m)
}

func (d *decoder) object(n *Node, path string, v reflect.Value) {
	fields := d.fieldsOf(v.Type())
next:
	for i := range n.Members {
		m := &n.Members[i]
		for _, f := range fields {
			if f.name == m.Key {
				d.value(m.Value, join(path, m.Key), v.Field(f.index))
				continue next
			}
		}
		d.unknown(m, path, v, fields)
	}
}

// unknown reports a field that the struct does not have, unless its value says nothing.
func (d *decoder) unknown(m *Member, path string, v reflect.Value, fields []field) {
	var refusals map[string]Refusal
	if r, ok := v.Interface().(Refuser); ok {
		refusals = r.Refusals()
	}
	at := join(path, m.Key)
	if refusal, ok := refusals[m.Key]; ok {
		empty := m.Value.Kind == Null || m.Value.Kind == List && len(m.Value.Items) == 0
		if empty || refusal.Unless != "" && m.Value.Text == refusal.Unless {
			return
		}
		if refusal.Unless != "" {
			d.fail(m.Value, at, "found %s: %s; leave the field out", m.Value.describe(), refusal.Reason)
			return
		}
		d.failAt(m.Line, m.Column, at, "%s; leave the field out", refusal.Reason)
		return
	}
	names := make([]string, 0, len(fields)+len(refusals))
	for _, f := range fields {
		names = append(names, f.name)
	}
	known := "; known are " + strings.Join(names, ", ")
	names = append(names, slices.Sorted(maps.Keys(refusals))...)
	switch near := nearest.Name(m.Key, names); {
	case near != "":
		known = "; did you mean " + near + "?"
	case len(fields) > 8 || len(fields) == 0:
		known = ""
	}
	d.failAt(m.Line, m.Column, join(path, shorten(m.Key)), "unknown field%s", known)
}

// fieldsOf returns the fields of a struct type that have a json name.
func (d *decoder) fieldsOf(t reflect.Type) []field {
	if fields, ok := d.fields[t]; ok {
		return fields
	}
	fields := make([]field, 0, t.NumField())
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name != "" && name != "-" {
			fields = append(fields, field{name, i})
		}
	}
	d.fields[t] = fields
	return fields
}
