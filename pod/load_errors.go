package pod

import (
	"errors"
	"slices"
	"strings"

	"github.com/peapod/peapod/internal/strict"
)

// together joins what the decoder found in a file with what Validate found in
// the rest of it, so that a misspelled field does not hide a bad value. What
// only follows from an error of the decoder is left out.
func together(decoded, validated error) error {
	var first, second *Errors
	if !errors.As(decoded, &first) || !errors.As(validated, &second) {
		return decoded
	}
	list := slices.Clone(first.List)
	for _, e := range second.List {
		if !slices.ContainsFunc(first.List, func(cause *Error) bool { return follows(e, cause) }) {
			list = append(list, e)
		}
	}
	return merge(list, first.More || second.More)
}

// merge puts the errors of a file in order and keeps the first of them. It
// returns nil when there are none.
func merge(list []*Error, more bool) error {
	all := &Errors{List: list}
	if all.Err() == nil {
		return nil
	}
	if len(list) > strict.MaxErrors {
		all.List, more = list[:strict.MaxErrors], true
	}
	all.More = more
	return all
}

// follows tells whether e may be there only because of cause: a field that could
// not be decoded, or is not known, is empty.
func follows(e, cause *Error) bool {
	text, reason := e.Err.Error(), cause.Err.Error()
	empty := strings.HasPrefix(text, "missing") || strings.HasPrefix(text, "empty")
	unknown := strings.HasPrefix(reason, "unknown field")
	outer, name := parent(cause.Field)
	switch e.Field {
	case cause.Field:
		return true
	case outer:
		return empty
	}
	if within(e.Field, cause.Field) {
		return true
	}
	if strings.HasPrefix(text, "no volume ") {
		pod := strings.TrimPrefix(cause.Field, inTemplate)
		return within(pod, "spec.volumes") || unknown && strings.TrimPrefix(outer, inTemplate) == "spec"
	}
	if own, _ := parent(e.Field); own != outer {
		return false
	}
	// A neighbour: the field that is missed may be the one that is
	// misspelled, or the one that had the wrong type.
	return empty && unknown || !unknown && strings.Contains(text, name)
}

// parent splits the path of a field into that of its object and its name.
func parent(field string) (outer, name string) {
	i := strings.LastIndexAny(field, ".[")
	if i < 0 {
		return "", field
	}
	return field[:i], field[i+1:]
}

// within reports whether field is below outer.
func within(field, outer string) bool {
	rest, ok := strings.CutPrefix(field, outer)
	return ok && rest != "" && (rest[0] == '.' || rest[0] == '[')
}
