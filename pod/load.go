package pod

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/peapod/peapod/internal/strict"
)

// Error is one thing that is wrong with a spec: file, line, column, field, and
// why. errors.As finds it in what Load, Parse, Validate and Resolve return.
type Error = strict.Error

// Errors are all things that are wrong with a spec, at most ten.
type Errors = strict.Errors

// source is where an object was read from; it gives errors their positions.
type source struct {
	document *strict.Document
	prefix   string // of the object's fields in the document: "spec.template."
}

// errorf makes an error about a field, with its position where there is a source.
func (s *source) errorf(field, format string, args ...any) error {
	if s == nil {
		var d *strict.Document
		return d.Errorf(field, format, args...)
	}
	return s.document.Errorf(s.prefix+field, format, args...)
}

// Load reads the pod spec in the file path, JSON or YAML; see Parse. Relative
// paths in it are relative to the file's directory.
func Load(path string) (*Pod, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, data)
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("pod spec: %w", err)
	}
	defer f.Close()
	// One byte more than allowed makes the parser say that it is too much,
	// even of a pipe or a device.
	data, err := io.ReadAll(io.LimitReader(f, strict.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("pod spec: %w", err)
	}
	return data, nil
}

// Parse reads a pod spec in JSON (if it begins with a brace) or YAML, fills in
// defaults and validates it. Name is the file that data came from: errors name
// it, and relative paths are relative to its directory.
//
// Whatever peapod does not know or does not support is an error, never
// ignored. Accepted without effect is only what asks for what happens anyway,
// such as hostNetwork: false. The error is an *Errors, one line for each thing.
func Parse(name string, data []byte) (*Pod, error) {
	d, err := strict.Parse(name, data)
	if err != nil {
		return nil, err
	}
	if err := checkKind(d); err != nil {
		return nil, err
	}
	p := &Pod{Dir: filepath.Dir(name), source: &source{document: d}}
	if err := decode(d, p); err != nil {
		return nil, err
	}
	return p, nil
}

// object is what a file describes.
type object interface {
	Errorf(field, format string, args ...any) error
	SetDefaults()
	Validate() error
}

// decode fills an object from a document, with its defaults, and validates it.
func decode(d *strict.Document, o object) error {
	err := d.Decode(o)
	o.SetDefaults()
	if err != nil {
		return together(err, o.Validate())
	}
	return o.Validate()
}

// checkKind looks at apiVersion and kind first: in a Deployment every other
// line would be wrong too, and none of that would help.
func checkKind(d *strict.Document) error {
	errs := &Errors{}
	if d.Root.Kind != strict.Object {
		errs.Add(d.Errorf("", "found %s, expected an object: a Kubernetes Pod", d.Root.Kind))
		return errs
	}
	for _, want := range [...]struct{ field, value string }{{"apiVersion", "v1"}, {"kind", "Pod"}} {
		switch n := d.Root.Member(want.field); {
		case n == nil || n.Kind == strict.Null:
			errs.Add(d.Errorf(want.field, "missing; write %q", want.value))
		case n.Kind == strict.String && n.Text != want.value:
			errs.Add(d.Errorf(want.field, "found %q, expected %q: a manifest of other kinds is read by ParseManifest", n.Text, want.value))
		}
	}
	return errs.Err()
}

// Errorf returns an *Error about a field of the spec, with file, line and
// column where the pod was read from a file. The field is a path such as
// spec.containers[0].ports[1].hostPort. %w works as in fmt.Errorf.
func (p *Pod) Errorf(field, format string, args ...any) error {
	return p.source.errorf(field, format, args...)
}

// problems collects what is wrong with an object.
type problems struct {
	object object
	pod    *Pod // the same where it is a pod, whose parts refer to each other
	errs   Errors
}

func (ps *problems) addf(field, format string, args ...any) {
	ps.add(ps.object.Errorf(field, format, args...))
}

// add takes an error that Errorf made.
func (ps *problems) add(err error) {
	e := &Error{Err: err}
	errors.As(err, &e)
	ps.errs.Add(e)
}
