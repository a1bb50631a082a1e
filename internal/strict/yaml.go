package strict

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// yamlReader turns the library's nodes into ours. What YAML has beyond JSON is
// refused where it would change meaning silently: merge keys, tags of its
// own, keys that are no strings.
type yamlReader struct {
	file  string
	errs  *Errors
	nodes int
}

func parseYAML(file string, data []byte) (*Node, *Errors) {
	roots, errs := parseYAMLStream(file, data)
	if len(roots) > 1 {
		errs.Add(&Error{File: file, Line: roots[1].Line, Column: roots[1].Column, Err: errors.New("a second document begins here; a file holds one")})
	}
	if errs.Err() != nil {
		return nil, errs
	}
	return roots[0], errs
}

// parseYAMLStream parses all documents that are not empty.
func parseYAMLStream(file string, data []byte) (roots []*Node, errs *Errors) {
	r := &yamlReader{file: file, errs: &Errors{}}
	defer func() {
		// The library reports what it did not foresee by panicking.
		if p := recover(); p != nil {
			r.errs.Add(&Error{File: file, Err: fmt.Errorf("the YAML reader failed: %v", p)})
			roots, errs = nil, r.errs
		}
	}()
	for d := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var document yaml.Node
		err := d.Decode(&document)
		switch {
		case errors.Is(err, io.EOF):
			if len(roots) == 0 && len(r.errs.List) == 0 {
				r.errs.Add(&Error{File: file, Err: errors.New("the file is empty but for comments")})
			}
			return roots, r.errs
		case err != nil:
			r.errs.Add(r.syntax(err, data))
			return roots, r.errs
		}
		if root := r.value(document.Content[0], 0); root.Kind != Null {
			roots = append(roots, root)
		}
	}
}

// syntax takes the line out of the library's error text, which has none when
// it is the first.
func (r *yamlReader) syntax(err error, data []byte) *Error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	e := &Error{File: r.file}
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		number, what, _ := strings.Cut(rest, ": ")
		if line, err := strconv.Atoi(number); err == nil {
			e.Line, e.Column, text = line, 1, what
		}
	} else {
		e.Line, e.Column = 1, 1
	}
	if rest, ok := strings.CutPrefix(text, "unknown anchor '"); ok {
		name, _, _ := strings.Cut(rest, "'")
		text = fmt.Sprintf("there is no anchor &%s before its alias", name)
		if i := bytes.Index(data, []byte("*"+name)); i >= 0 {
			e.Line, e.Column = 1+bytes.Count(data[:i], []byte("\n")), i-bytes.LastIndexByte(data[:i], '\n')
		}
	}
	lines := bytes.Split(data, []byte("\n"))
	for i := max(0, e.Line-2); i < min(len(lines), e.Line+1); i++ {
		if blank := bytes.TrimLeft(lines[i], " "); bytes.HasPrefix(blank, []byte("\t")) {
			e.Line, e.Column = i+1, len(lines[i])-len(blank)+1
			text = "found a tab in the indentation; YAML wants spaces"
			break
		}
	}
	e.Err = errors.New(text)
	return e
}

func (r *yamlReader) fail(y *yaml.Node, format string, args ...any) {
	r.errs.Add(&Error{File: r.file, Line: y.Line, Column: y.Column, Err: fmt.Errorf(format, args...)})
}

// value converts one node. After an error it goes on with null, so that the
// rest of the file is looked at too.
func (r *yamlReader) value(y *yaml.Node, depth int) *Node {
	n := &Node{Line: y.Line, Column: y.Column}
	if r.nodes++; r.nodes > maxNodes || depth > MaxDepth {
		if r.nodes <= maxNodes {
			r.fail(y, "lists and objects nest more than %d deep", MaxDepth)
		} else if r.nodes == maxNodes+1 {
			r.fail(y, "the file has more than %d values, aliases counted where they are used", maxNodes)
		}
		return n
	}
	switch y.Kind {
	case yaml.AliasNode:
		// An alias that contains itself runs into MaxDepth; one that doubles
		// at each level ("billion laughs") runs into maxNodes.
		return r.value(y.Alias, depth+1)
	case yaml.MappingNode:
		n.Kind = Object
		r.object(n, y, depth)
	case yaml.SequenceNode:
		n.Kind = List
		r.tag(y, "!!seq")
		for _, item := range y.Content {
			n.Items = append(n.Items, r.value(item, depth+1))
		}
	default:
		r.scalar(n, y)
	}
	return n
}

// tag refuses tags that ask for another type than the value has.
func (r *yamlReader) tag(y *yaml.Node, want string) {
	if tag := y.ShortTag(); tag != want && tag != "!" {
		r.fail(y, "the tag %s is not supported; leave it out", shorten(tag))
	}
}

func (r *yamlReader) object(n *Node, y *yaml.Node, depth int) {
	r.tag(y, "!!map")
	lines := map[string]int{}
	for i := 0; i+1 < len(y.Content); i += 2 {
		key := y.Content[i]
		if !r.key(key) {
			continue
		}
		if line, ok := lines[key.Value]; ok {
			r.fail(key, "duplicate field %s; it is on line %d already", quote(key.Value), line)
			continue
		}
		lines[key.Value] = key.Line
		n.Members = append(n.Members, Member{key.Value, key.Line, key.Column, r.value(y.Content[i+1], depth+1)})
	}
}

func (r *yamlReader) key(key *yaml.Node) bool {
	switch {
	case key.Kind != yaml.ScalarNode:
		r.fail(key, "this field name is not a plain string")
	case key.ShortTag() == "!!merge":
		r.fail(key, "merge keys (<<) are not supported; write the fields out")
	case key.ShortTag() != "!!str" && key.ShortTag() != "!!timestamp" || isBoolWord(key):
		r.fail(key, "the field name %s is not a string to YAML; put it into quotes", shorten(key.Value))
	default:
		return true
	}
	return false
}

func (r *yamlReader) scalar(n *Node, y *yaml.Node) {
	var err error
	switch tag := y.ShortTag(); tag {
	case "!!null":
		n.Kind = Null
	case "!!bool":
		n.Kind, n.Text = Bool, "true"
		if c := y.Value; c == "" || c[0]|0x20 != 't' {
			n.Text = "false"
		}
	case "!!int", "!!float":
		n.Kind = Number
		n.Text, err = yamlNumber(y.Value)
	case "!!str", "!!timestamp", "!":
		n.Kind, n.Text = String, y.Value
		if isBoolWord(y) {
			// Kubernetes reads YAML 1.1, where these are booleans: a file that
			// runs here must mean the same there.
			n.Kind = Bool
			if n.Text = "false"; strings.ContainsRune("yYoO", rune(y.Value[0])) && strings.ToLower(y.Value) != "off" {
				n.Text = "true"
			}
		}
	case "!!merge":
		n.Kind, n.Text = String, y.Value
	default:
		err = fmt.Errorf("the tag %s is not supported; leave it out", shorten(tag))
	}
	if err != nil {
		r.fail(y, "%w", err)
	}
	if n.Kind == Number && n.Text != y.Value || n.Kind == Bool && !strings.EqualFold(n.Text, y.Value) {
		n.Written = y.Value
	}
}

// isBoolWord reports whether an unquoted string is a boolean of YAML 1.1.
func isBoolWord(y *yaml.Node) bool {
	if y.Style != 0 {
		return false
	}
	switch y.Value {
	case "y", "Y", "yes", "Yes", "YES", "on", "On", "ON",
		"n", "N", "no", "No", "NO", "off", "Off", "OFF":
		return true
	}
	return false
}

// yamlNumber writes a number of YAML as JSON writes it: 0x1f as 31, .5 as 0.5.
// A number that is one of JSON already keeps its text, and so its precision.
func yamlNumber(text string) (string, error) {
	if numberEnd(text, 0) == len(text) && text != "" {
		return text, nil
	}
	plain := strings.ReplaceAll(text, "_", "")
	if n, err := strconv.ParseInt(plain, 0, 64); err == nil {
		return strconv.FormatInt(n, 10), nil
	}
	if n, err := strconv.ParseUint(plain, 0, 64); err == nil {
		return strconv.FormatUint(n, 10), nil
	}
	f, err := strconv.ParseFloat(plain, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return "", fmt.Errorf("the number %s cannot be used here", shorten(text))
	}
	return strconv.FormatFloat(f, 'g', -1, 64), nil
}
