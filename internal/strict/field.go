package strict

import (
	"reflect"
	"strings"
)

// structType is a struct type with its fields. Reflection goes through a type
// once for each document; a list of few types is found faster than a map.
type structType struct {
	t      reflect.Type
	fields []field
}

// field is one field of a struct type.
type field struct {
	name      string
	index     []int // longer than 1 in an embedded struct
	omitEmpty bool
}

// fieldsOf returns the fields of a struct type that have a json name. In the
// lenient mode these are all that encoding/json knows.
func (d *decoder) fieldsOf(t reflect.Type) []field {
	for i := range d.types {
		if d.types[i].t == t {
			return d.types[i].fields
		}
	}
	fields := d.addFields(make([]field, 0, t.NumField()), t, nil)
	d.types = append(d.types, structType{t, fields})
	return fields
}

// addFields puts the fields of embedded structs behind the outer ones, which
// so hide those of the same name.
func (d *decoder) addFields(fields []field, t reflect.Type, outer []int) []field {
	var embedded []reflect.StructField
	for i := range t.NumField() {
		f := t.Field(i)
		name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
			continue
		case name == "" && d.lenient && f.Anonymous && f.Type.Kind() == reflect.Struct:
			embedded = append(embedded, f)
			continue
		case name == "" && d.lenient && f.IsExported():
			name = f.Name
		case name == "":
			continue
		}
		if len(outer) > 0 {
			f.Index = append(outer[:len(outer):len(outer)], f.Index...)
		}
		fields = append(fields, field{name, f.Index, option == "omitempty"})
	}
	for _, f := range embedded {
		fields = d.addFields(fields, f.Type, append(outer[:len(outer):len(outer)], f.Index...))
	}
	return fields
}

// find returns the field called name. encoding/json takes one that differs in
// case where none is called exactly so.
func (d *decoder) find(fields []field, name string) *field {
	for i := range fields {
		if fields[i].name == name {
			return &fields[i]
		}
	}
	if !d.lenient {
		return nil
	}
	for i := range fields {
		if strings.EqualFold(fields[i].name, name) {
			return &fields[i]
		}
	}
	return nil
}
