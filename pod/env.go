package pod

import (
	"fmt"
	"strings"
)

// maxString is the longest argument or variable that execve(2) takes
// (MAX_ARG_STRLEN with pages of 4 KiB).
const maxString = 128<<10 - 1

var errTooLong = fmt.Errorf("longer than %d bytes with its variables filled in; the kernel takes no longer argument or variable", maxString)

// expand replaces each $(NAME) in s by what lookup returns for NAME, as
// Kubernetes does in command, args and env: a name that lookup does not know
// stays as it is, and $$ stands for $, so that $$(NAME) gives $(NAME). It fails
// when the result is too long to be passed on, which keeps variables that
// double each other from filling the memory.
func expand(s string, lookup func(name string) (value string, ok bool)) (string, error) {
	var b strings.Builder
	for b.Len()+len(s) <= maxString || strings.Contains(s, "$") {
		dollar := strings.IndexByte(s, '$')
		if dollar < 0 || dollar == len(s)-1 {
			b.WriteString(s)
			return b.String(), nil
		}
		b.WriteString(s[:dollar])
		s = s[dollar:]
		end := strings.IndexByte(s, ')')
		switch {
		case s[1] == '$':
			b.WriteByte('$')
			s = s[2:]
		case s[1] == '(' && end > 0:
			value, ok := lookup(s[2:end])
			if !ok {
				value = s[:end+1]
			}
			if b.Len()+len(value) > maxString {
				return "", errTooLong
			}
			b.WriteString(value)
			s = s[end+1:]
		default:
			b.WriteString(s[:2])
			s = s[2:]
		}
	}
	return "", errTooLong
}

// environ is an environment under construction: in order, each name once.
type environ struct {
	names  []string
	values map[string]string
}

func newEnviron(lines []string) *environ {
	e := &environ{values: make(map[string]string, len(lines))}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, "=")
		e.set(name, value)
	}
	return e
}

func (e *environ) set(name, value string) {
	if _, ok := e.values[name]; !ok {
		e.names = append(e.names, name)
	}
	e.values[name] = value
}

// setDefault sets a variable that is not set yet.
func (e *environ) setDefault(name, value string) {
	if _, ok := e.values[name]; !ok {
		e.set(name, value)
	}
}

func (e *environ) lookup(name string) (string, bool) {
	value, ok := e.values[name]
	return value, ok
}

func (e *environ) lines() []string {
	lines := make([]string, len(e.names))
	for i, name := range e.names {
		lines[i] = name + "=" + e.values[name]
	}
	return lines
}

// variables returns what the spec gives a container, expanded. As in Kubernetes
// a value sees the variables before it, a name that is given twice has its last
// value, and the variables of the image are not seen. Field is the container's
// path, for errors.
func (p *Pod) variables(c *Container, field string) (*environ, error) {
	e := newEnviron(p.serviceEnv)
	for i := range c.Env {
		v := &c.Env[i]
		at := fmt.Sprintf("%s.env[%d]", field, i)
		if v.ValueFrom != nil && v.ValueFrom.FieldRef != nil {
			value, err := p.fieldRef(v.ValueFrom.FieldRef.FieldPath)
			if err != nil {
				return nil, p.Errorf(at+".valueFrom.fieldRef.fieldPath", "%w", err)
			}
			e.set(v.Name, value)
			continue
		}
		value, err := expand(v.Value, e.lookup)
		if err != nil {
			return nil, p.Errorf(at+".value", "%w", err)
		}
		e.set(v.Name, value)
	}
	return e, nil
}

// fieldRef returns the value of a field of the pod. An absent label or
// annotation is empty, as in Kubernetes.
func (p *Pod) fieldRef(path string) (string, error) {
	if head, ok := strings.CutSuffix(path, "']"); ok {
		if key, ok := strings.CutPrefix(head, "metadata.labels['"); ok {
			return p.Metadata.Labels[key], nil
		}
		if key, ok := strings.CutPrefix(head, "metadata.annotations['"); ok {
			return p.Metadata.Annotations[key], nil
		}
	}
	if isAddressField(path) {
		return p.addresses.field(path), nil
	}
	const known = "metadata.name, metadata.namespace, metadata.labels['KEY'], metadata.annotations['KEY'], status.podIP or status.hostIP"
	switch path {
	case "metadata.name":
		return p.Metadata.Name, nil
	case "metadata.namespace":
		return p.Metadata.Namespace, nil
	case "":
		return "", fmt.Errorf("missing; use %s", known)
	case "metadata.uid", "spec.nodeName", "spec.serviceAccountName":
		return "", fmt.Errorf("%s is not supported: a Kubernetes cluster sets it; use %s", path, known)
	}
	return "", fmt.Errorf("unknown field %q; use %s", path, known)
}
