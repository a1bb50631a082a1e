package strict

import (
	"errors"
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
	// Remedy is what to do instead, such as "write the value"; "" when there
	// is nothing but to leave the field out.
	Remedy string
	// Unless is a scalar that is accepted all the same, because it asks for
	// what happens anyway: a default, written out. "" for none.
	Unless string
}

// String is the reason with what to do about it.
func (r Refusal) String() string {
	if r.Remedy != "" {
		return r.Reason + "; " + r.Remedy + ", or leave the field out"
	}
	return r.Reason + "; leave the field out"
}

// Decode fills the struct that into points to by the json tags of its fields.
// Field names are case-sensitive, null counts as absent. Fields may be structs,
// pointers, slices, maps from strings, strings, booleans, integers, and types
// that implement Unmarshaler on their pointer. The error is an *Errors.
func (d *Document) Decode(into any) error {
	dec := decoder{d: d}
	dec.value(d.Root, reflect.ValueOf(into).Elem())
	return dec.errs.Err()
}

type decoder struct {
	d       *Document
	lenient bool // see DecodeExtensible
	// misspelt gets unknown fields of a lenient one, or is nil.
	misspelt func(*Error)
	errs     Errors
	path     []step
	types    []structType
}

// step leads from a value to one in it. The path is put into words only where
// there is an error.
type step struct {
	kind  Kind   // Object: a field; List: an entry; String: a key of a map
	key   string // of an object or a map
	index int    // of a list
}

// field renders the present path.
func (d *decoder) field() string {
	path := ""
	for _, s := range d.path {
		switch s.kind {
		case Object:
			path = join(path, s.key)
		case List:
			path = joinIndex(path, s.index)
		default:
			path = joinKey(path, s.key)
		}
	}
	return path
}

func (d *decoder) fail(n *Node, format string, args ...any) {
	d.failAt(n.Line, n.Column, d.field(), format, args...)
}

func (d *decoder) failAt(line, column int, path, format string, args ...any) {
	d.errs.Add(&Error{File: d.d.File, Line: line, Column: column, Field: path, Err: fmt.Errorf(format, args...)})
}

// inner decodes a value inside of the present one.
func (d *decoder) inner(s step, n *Node, v reflect.Value) {
	d.path = append(d.path, s)
	d.value(n, v)
	d.path = d.path[:len(d.path)-1]
}

func (d *decoder) value(n *Node, v reflect.Value) {
	if n.Kind == Null {
		if d.lenient {
			setNull(v)
		}
		return
	}
	if d.custom(n, v) {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(n, v.Elem())
	case reflect.Struct:
		if d.is(n, Object) {
			d.object(n, v)
		}
	case reflect.Map:
		if d.is(n, Object) {
			d.mapping(n, v)
		}
	case reflect.Slice:
		if d.is(n, List) {
			d.list(n, v)
		}
	case reflect.String:
		if d.is(n, String) {
			d.string(n, v)
		}
	case reflect.Bool:
		if d.is(n, Bool) {
			v.SetBool(n.Text == "true")
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if d.is(n, Number) {
			d.integer(n, v)
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if d.is(n, Number) {
			d.unsigned(n, v)
		}
	case reflect.Interface:
		if plain := d.plain(n); plain != nil {
			v.Set(reflect.ValueOf(plain))
		}
	default:
		panic("strict: cannot decode into " + v.Type().String())
	}
}

// custom decodes into types that have a notation of their own.
func (d *decoder) custom(n *Node, v reflect.Value) bool {
	if d.lenient {
		return d.text(n, v)
	}
	u, ok := v.Addr().Interface().(Unmarshaler)
	if !ok {
		return false
	}
	if err := u.UnmarshalNode(n); err != nil {
		d.fail(n, "%w", err)
	}
	return true
}

// is refuses a value of the wrong kind.
func (d *decoder) is(n *Node, want Kind) bool {
	if n.Kind == want {
		return true
	}
	remedy := ""
	switch {
	case want == String && (n.Kind == Number || n.Kind == Bool):
		remedy = "; put it into quotes"
	case want == Number && n.Kind == String && numberEnd(n.Text, 0) == len(n.Text) && n.Text != "",
		want == Bool && n.Kind == String && (n.Text == "true" || n.Text == "false"):
		remedy = "; leave out the quotes"
	case want == List && len(d.path) > 0:
		remedy = "; put it into [ ]"
	}
	d.fail(n, "found %s, expected %s%s", n.describe(), want, remedy)
	return false
}

func (d *decoder) string(n *Node, v reflect.Value) {
	if !d.lenient && strings.IndexByte(n.Text, 0) >= 0 {
		d.fail(n, "found a NUL character in the string %s; no name, argument or path can hold one", quote(n.Text))
		return
	}
	v.SetString(n.Text)
}

func (d *decoder) integer(n *Node, v reflect.Value) {
	i, err := strconv.ParseInt(n.Text, 10, 64)
	if err == nil && !v.OverflowInt(i) {
		v.SetInt(i)
		return
	}
	d.misfit(n, err)
}

func (d *decoder) unsigned(n *Node, v reflect.Value) {
	i, err := strconv.ParseUint(n.Text, 10, 64)
	if err == nil && !v.OverflowUint(i) {
		v.SetUint(i)
		return
	}
	d.misfit(n, err)
}

// misfit says why a number does not fit its field, given what strconv said.
func (d *decoder) misfit(n *Node, err error) {
	switch {
	case err != nil && strings.ContainsAny(n.Text, ".eE"):
		d.fail(n, "found %s, expected a whole number", shorten(n.Text))
	case errors.Is(err, strconv.ErrSyntax):
		d.fail(n, "found %s, expected a number that is not negative", shorten(n.Text))
	default:
		d.fail(n, "found %s, which is out of range", shorten(n.Text))
	}
}

func (d *decoder) list(n *Node, v reflect.Value) {
	// An empty list stays distinct from an absent one.
	list := makeList(v, len(n.Items))
	for i, item := range n.Items {
		if item.Kind == Null && !d.lenient {
			d.failAt(item.Line, item.Column, joinIndex(d.field(), i), "found null; leave the entry out")
			continue
		}
		d.inner(step{kind: List, index: i}, item, list.Index(i))
	}
	v.Set(list)
}

// makeList returns a list of n entries. What a list of the same name above had
// in its place stays in it, as encoding/json has it.
func makeList(v reflect.Value, n int) reflect.Value {
	if n > 0 && n <= v.Cap() {
		return v.Slice(0, n)
	}
	list := reflect.MakeSlice(v.Type(), n, n)
	if n > 0 && v.Cap() > 0 {
		reflect.Copy(list, v.Slice(0, v.Cap()))
	}
	return list
}

func (d *decoder) mapping(n *Node, v reflect.Value) {
	if v.IsNil() {
		v.Set(reflect.MakeMapWithSize(v.Type(), len(n.Members)))
	}
	for i := range n.Members {
		member := &n.Members[i]
		element := reflect.New(v.Type().Elem()).Elem()
		d.inner(step{kind: String, key: member.Key}, member.Value, element)
		v.SetMapIndex(reflect.ValueOf(member.Key).Convert(v.Type().Key()), element)
	}
}

func (d *decoder) object(n *Node, v reflect.Value) {
	fields := d.fieldsOf(v.Type())
	for i := range n.Members {
		m := &n.Members[i]
		if f := d.find(fields, m.Key); f != nil {
			d.inner(step{kind: Object, key: m.Key}, m.Value, v.FieldByIndex(f.index))
		} else if !d.lenient {
			d.unknown(m, v, fields)
		} else if d.misspelt != nil {
			d.note(m, n, fields)
		}
	}
}

// note tells of a field that is probably misspelt: the one that it is taken for is
// not there.
func (d *decoder) note(m *Member, n *Node, fields []field) {
	var names []string
	for _, f := range fields {
		if n.Member(f.name) == nil {
			names = append(names, f.name)
		}
	}
	if near := nearest.Name(m.Key, names); near != "" {
		d.misspelt(&Error{File: d.d.File, Line: m.Line, Column: m.Column, Field: join(d.field(), shorten(m.Key)),
			Err: fmt.Errorf("unknown field, which is ignored; did you mean %s?", near)})
	}
}

// unknown reports a field that the struct does not have, unless its value says nothing.
func (d *decoder) unknown(m *Member, v reflect.Value, fields []field) {
	var refusals map[string]Refusal
	if r, ok := v.Interface().(Refuser); ok {
		refusals = r.Refusals()
	}
	path := d.field()
	at := join(path, m.Key)
	if refusal, ok := refusals[m.Key]; ok {
		empty := m.Value.Kind == Null || m.Value.Kind == List && len(m.Value.Items) == 0
		if empty || refusal.Unless != "" && m.Value.Text == refusal.Unless {
			return
		}
		if refusal.Unless != "" {
			d.failAt(m.Value.Line, m.Value.Column, at, "found %s: %s", m.Value.describe(), refusal)
			return
		}
		d.failAt(m.Line, m.Column, at, "%s", refusal)
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
