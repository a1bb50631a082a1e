package pod

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/peapod/peapod/internal/strict"
)

// Manifest is what a file of Kubernetes objects describes. LoadManifest and
// ParseManifest make it; a program may also build it by itself and call
// SetDefaults and Validate.
type Manifest struct {
	Pods        []*Pod
	Deployments []*Deployment
	Services    []*Service
	Endpoints   []*Endpoints

	EndpointSlices []*EndpointSlice
}

// LoadManifest reads the objects in the file path; see ParseManifest. Relative
// paths in it are relative to the file's directory.
func LoadManifest(path string) (*Manifest, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return ParseManifest(path, data)
}

// ParseManifest reads any number of objects as kubectl does: JSON objects one
// after the other, YAML documents with --- between them, Lists. It fills in
// defaults and validates each object and how they fit together. Name is the file
// that data came from: errors name it, and relative paths are relative to its
// directory.
//
// It is as strict as Parse. The error is an *Errors, one line for each thing that
// is wrong, from all objects.
func ParseManifest(name string, data []byte) (*Manifest, error) {
	list, err := strict.ParseAll(name, data)
	if err != nil {
		return nil, err
	}
	r := &manifestReader{m: &Manifest{}, dir: filepath.Dir(name)}
	for _, d := range list {
		r.read(d)
	}
	switch {
	case len(r.errs) == 0 && r.m.empty():
		r.fail(list[0].Errorf("items", "empty: the file describes nothing"))
	case len(r.errs) == 0:
		r.fail(r.m.together())
	default:
		r.fail(r.m.duplicates()) // what else is amiss may only follow from the errors
	}
	if err := merge(r.errs, r.more); err != nil {
		return nil, err
	}
	return r.m, nil
}

func (m *Manifest) empty() bool {
	return len(m.Pods)+len(m.Deployments)+len(m.Services)+len(m.Endpoints)+len(m.EndpointSlices) == 0
}

// manifestReader collects objects and what is wrong with them.
type manifestReader struct {
	m    *Manifest
	dir  string
	errs []*Error
	more bool
	// toldKinds is set once an error has told which kinds there are.
	toldKinds bool
}

func (r *manifestReader) fail(err error) {
	var list *Errors
	var one *Error
	switch {
	case errors.As(err, &list):
		r.errs, r.more = append(r.errs, list.List...), r.more || list.More
	case errors.As(err, &one):
		r.errs = append(r.errs, one)
	}
}

// read takes one document, or each item of a List.
func (r *manifestReader) read(d *strict.Document) {
	kind, err := r.kind(d)
	if err != nil {
		r.fail(err)
		return
	}
	s := &source{document: d}
	switch kind {
	case "Pod":
		p := &Pod{Dir: r.dir, source: s}
		r.fail(decode(d, p))
		r.m.Pods = append(r.m.Pods, p)
	case "Deployment":
		o := &Deployment{Dir: r.dir, source: s}
		r.fail(decode(d, o))
		r.m.Deployments = append(r.m.Deployments, o)
	case "Service":
		o := &Service{source: s}
		r.fail(decode(d, o))
		r.m.Services = append(r.m.Services, o)
	case "Endpoints":
		o := &Endpoints{source: s}
		r.fail(decode(d, o))
		r.m.Endpoints = append(r.m.Endpoints, o)
	case "EndpointSlice":
		o := &EndpointSlice{source: s}
		r.fail(decode(d, o))
		r.m.EndpointSlices = append(r.m.EndpointSlices, o)
	case "List":
		r.list(d)
	}
}

// objectList is a v1 List but for its items.
type objectList struct {
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"`
	Metadata   listMetadata `json:"metadata"`
	Items      items        `json:"items"`
}

// listMetadata is accepted when empty, as kubectl writes it.
type listMetadata struct {
	ResourceVersion byServerOnly `json:"resourceVersion"`
	SelfLink        byServerOnly `json:"selfLink"`
}

// byServerOnly is a string that only Kubernetes' API server fills.
type byServerOnly struct{}

// UnmarshalNode takes the empty string.
func (*byServerOnly) UnmarshalNode(n *strict.Node) error {
	if n.Kind != strict.String || n.Text != "" {
		return errors.New("not supported: " + byServer + "; leave it out")
	}
	return nil
}

// items are documents of their own.
type items []*strict.Node

// UnmarshalNode takes the items as they are.
func (i *items) UnmarshalNode(n *strict.Node) error {
	if n.Kind != strict.List {
		return errors.New("found " + n.Kind.String() + ", expected a list of objects")
	}
	*i = n.Items
	return nil
}

func (r *manifestReader) list(d *strict.Document) {
	var l objectList
	r.fail(d.Decode(&l))
	for _, item := range l.Items {
		r.read(&strict.Document{File: d.File, Root: item})
	}
}

// kind looks at apiVersion and kind, without which no other field makes sense.
func (r *manifestReader) kind(d *strict.Document) (string, error) {
	errs := &Errors{}
	if d.Root.Kind != strict.Object {
		errs.Add(d.Errorf("", "found %s, expected an object with apiVersion and kind", d.Root.Kind))
		return "", errs
	}
	text := func(field, example string) string {
		switch n := d.Root.Member(field); {
		case n == nil || n.Kind == strict.Null:
			errs.Add(d.Errorf(field, "missing; write %s", example))
		case n.Kind != strict.String:
			errs.Add(d.Errorf(field, "found %s, expected a string; write %s", n.Kind, example))
		default:
			return n.Text
		}
		return ""
	}
	version, kind := text("apiVersion", `"v1", or "apps/v1" for a Deployment`), text("kind", strings.Replace(knownKinds(), " and ", " or ", 1))
	if len(errs.List) > 0 {
		return "", errs.Err()
	}
	i := slices.IndexFunc(kinds[:], func(k struct{ apiVersion, kind string }) bool { return k.kind == kind })
	switch {
	case i < 0:
		errs.Add(d.Errorf("kind", "%s", r.unknownKinds(kind)))
	case kinds[i].apiVersion != version:
		errs.Add(d.Errorf("apiVersion", "found %q, expected %q for the kind %s", version, kinds[i].apiVersion, kind))
	}
	return kind, errs.Err()
}

// SetDefaults fills in each object's defaults.
func (m *Manifest) SetDefaults() {
	for _, o := range m.objects() {
		o.SetDefaults()
	}
}

// Validate checks each object and how they fit together. The error is an
// *Errors.
func (m *Manifest) Validate() error {
	r := &manifestReader{}
	for _, o := range m.objects() {
		r.fail(o.Validate())
	}
	if len(r.errs) == 0 {
		r.fail(m.together())
	}
	return merge(r.errs, r.more)
}

func (m *Manifest) objects() (list []object) {
	for _, o := range m.Pods {
		list = append(list, o)
	}
	for _, o := range m.Deployments {
		list = append(list, o)
	}
	for _, o := range m.Services {
		list = append(list, o)
	}
	for _, o := range m.Endpoints {
		list = append(list, o)
	}
	for _, o := range m.EndpointSlices {
		list = append(list, o)
	}
	return list
}

// AllPods are the pods, and after them those of the deployments.
func (m *Manifest) AllPods() []*Pod {
	list := slices.Clone(m.Pods)
	for _, d := range m.Deployments {
		list = append(list, d.Pods()...)
	}
	return list
}
