package strict

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonParser is a recursive descent over the whole text. encoding/json's
// tokens would do, but they lose the position of what is wrong between two
// tokens, and their errors do not say what to do about it.
//
// Most processes parse one small file and no more, so what counts is what the
// first use costs: strings are parts of the one copy of the text, and nodes are
// made by the dozen.
type jsonParser struct {
	file    string
	data    string
	pos     int
	depth   int
	lenient bool // as encoding/json: see DecodeExtensible
	errs    *Errors
	nodes   []Node // to be handed out

	// The position that at() computed last; it only ever moves on, which keeps
	// counting lines linear.
	seen, line, column int
}

// errSyntax ends the parse; what is wrong was added to errs before.
var errSyntax = errors.New("syntax error")

func parseJSON(file string, data []byte) (*Node, *Errors) {
	p := &jsonParser{file: file, data: string(data), errs: &Errors{}, line: 1, column: 1}
	return p.document()
}

func (p *jsonParser) document() (*Node, *Errors) {
	p.space()
	root, err := p.value()
	if err == nil {
		if p.space(); p.pos < len(p.data) {
			p.fail("found %s after the end of the document; a file holds one object", p.found())
		}
	}
	return root, p.errs
}

// parseJSONStream parses objects that follow one another, as kubectl takes them.
// A line --- may separate them, and may lead on to YAML.
func parseJSONStream(file string, data []byte) (roots []*Node, errs *Errors) {
	p := &jsonParser{file: file, data: string(data), errs: &Errors{}, line: 1, column: 1}
	for {
		p.space()
		separated := p.marker()
		switch {
		case p.pos == len(p.data):
			return roots, p.errs
		case p.peek() == '{':
			root, err := p.value()
			if err != nil {
				return nil, p.errs
			}
			roots = append(roots, root)
		case separated:
			// Empty space before it keeps the positions right.
			line, column := p.at(p.pos)
			rest := append(bytes.Repeat([]byte{'\n'}, line-1), bytes.Repeat([]byte{' '}, column-1)...)
			more, errs := parseYAMLStream(file, append(rest, data[p.pos:]...))
			return append(roots, more...), errs
		default:
			p.fail("found %s after the end of an object; another one may follow, with nothing or a line --- between them", p.found())
			return nil, p.errs
		}
	}
}

// marker skips lines --- and tells whether there was one.
func (p *jsonParser) marker() (found bool) {
	for {
		rest := p.data[p.pos:]
		if !strings.HasPrefix(rest, "---") || p.pos > 0 && p.data[p.pos-1] != '\n' || len(rest) > 3 && strings.IndexByte(" \t\r\n", rest[3]) < 0 {
			return found
		}
		found = true
		p.pos += 3
		p.space()
	}
}

// at returns line and column of an offset that is not before the last one asked for.
func (p *jsonParser) at(offset int) (line, column int) {
	for p.seen < offset {
		if p.data[p.seen] == '\n' {
			p.line, p.column = p.line+1, 1
		} else if utf8.RuneStart(p.data[p.seen]) {
			p.column++
		}
		p.seen++
	}
	return p.line, p.column
}

func (p *jsonParser) fail(format string, args ...any) error {
	line, column := p.at(p.pos)
	p.errs.Add(&Error{File: p.file, Line: line, Column: column, Err: fmt.Errorf(format, args...)})
	return errSyntax
}

// found names what stands at the present position.
func (p *jsonParser) found() string {
	if p.pos >= len(p.data) {
		return "the end of the file"
	}
	r, _ := utf8.DecodeRuneInString(p.data[p.pos:])
	return strconv.QuoteRune(r)
}

func (p *jsonParser) space() {
	for p.pos < len(p.data) {
		switch p.data[p.pos] {
		case ' ', '\t', '\r', '\n':
			p.pos++
		default:
			return
		}
	}
}

// peek returns the byte at the present position, 0 at the end.
func (p *jsonParser) peek() byte {
	if p.pos < len(p.data) {
		return p.data[p.pos]
	}
	return 0
}

// node returns a fresh node.
func (p *jsonParser) node() *Node {
	if len(p.nodes) == 0 {
		p.nodes = make([]Node, 32)
	}
	n := &p.nodes[0]
	p.nodes = p.nodes[1:]
	return n
}

func (p *jsonParser) value() (*Node, error) {
	n := p.node()
	n.Line, n.Column = p.at(p.pos)
	var err error
	switch c := p.peek(); {
	case c == '{':
		n.Kind = Object
		err = p.nested(n, p.object)
	case c == '[':
		n.Kind = List
		err = p.nested(n, p.list)
	case c == '"':
		n.Kind = String
		n.Text, err = p.string()
	case c == '-' || c >= '0' && c <= '9':
		n.Kind = Number
		n.Text, err = p.number()
	case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		err = p.word(n)
	case c == '\'':
		err = p.fail("found a single quote; JSON wants strings in double quotes")
	case c == '/' || c == '#':
		err = p.fail("found %s; JSON has no comments", p.found())
	default:
		err = p.fail("found %s, expected a value", p.found())
	}
	return n, err
}

// nested parses a list or an object, one level deeper.
func (p *jsonParser) nested(n *Node, parse func(*Node) error) error {
	limit := MaxDepth
	if p.lenient {
		limit = maxDepthExtensible
	}
	if p.depth++; p.depth > limit {
		return p.fail("lists and objects nest more than %d deep", limit)
	}
	p.pos++
	p.space()
	err := parse(n)
	p.depth--
	return err
}

func (p *jsonParser) object(n *Node) error {
	var seen lines
	for first := true; ; first = false {
		if p.peek() == '}' && first {
			p.pos++
			return nil
		}
		m, err := p.member(first)
		if err != nil {
			return err
		}
		if p.lenient {
			n.Members = append(n.Members, m)
		} else if line := seen.find(n, m.Key); line == 0 {
			n.Members = append(n.Members, m)
		} else {
			p.errs.Add(&Error{File: p.file, Line: m.Line, Column: m.Column,
				Err: fmt.Errorf("duplicate field %s; it is on line %d already", quote(m.Key), line)})
		}
		if done, err := p.separator('}', "object"); done || err != nil {
			return err
		}
	}
}

// lines finds the line of a key among the members of one object: few are looked
// through, many get a map.
type lines map[string]int

func (l *lines) find(n *Node, key string) int {
	const few = 16
	if len(n.Members) <= few {
		for i := range n.Members {
			if n.Members[i].Key == key {
				return n.Members[i].Line
			}
		}
		return 0
	}
	if *l == nil {
		*l = lines{}
	}
	for _, m := range n.Members[len(*l):] {
		(*l)[m.Key] = m.Line
	}
	return (*l)[key]
}

func (p *jsonParser) member(first bool) (m Member, err error) {
	m.Line, m.Column = p.at(p.pos)
	switch p.peek() {
	case '"':
	case '}':
		return m, p.fail("found '}' after a comma; leave out the comma before it")
	case '/', '#':
		return m, p.fail("found %s; JSON has no comments", p.found())
	default:
		return m, p.fail("found %s, expected a field name in double quotes", p.found())
	}
	if m.Key, err = p.string(); err != nil {
		return m, err
	}
	if p.space(); p.peek() != ':' {
		return m, p.fail("found %s, expected ':' after the field name %s", p.found(), quote(m.Key))
	}
	p.pos++
	p.space()
	m.Value, err = p.value()
	return m, err
}

func (p *jsonParser) list(n *Node) error {
	for first := true; ; first = false {
		if p.peek() == ']' {
			if !first {
				return p.fail("found ']' after a comma; leave out the comma before it")
			}
			p.pos++
			return nil
		}
		item, err := p.value()
		if err != nil {
			return err
		}
		n.Items = append(n.Items, item)
		if done, err := p.separator(']', "list"); done || err != nil {
			return err
		}
	}
}

// separator passes the comma between two entries or the bracket at the end.
func (p *jsonParser) separator(end byte, what string) (done bool, err error) {
	p.space()
	switch p.peek() {
	case end:
		p.pos++
		return true, nil
	case ',':
		p.pos++
		p.space()
		return false, nil
	case '"', '{', '[':
		return false, p.fail("found %s, expected ',' or %q; is a comma missing before it?", p.found(), end)
	case '/', '#':
		return false, p.fail("found %s; JSON has no comments", p.found())
	}
	return false, p.fail("found %s, expected ',' or %q: the %s is not closed", p.found(), end, what)
}

func (p *jsonParser) word(n *Node) error {
	end := p.pos
	for end < len(p.data) && (p.data[end]|0x20 >= 'a' && p.data[end]|0x20 <= 'z' || p.data[end] >= '0' && p.data[end] <= '9') {
		end++
	}
	switch word := p.data[p.pos:end]; word {
	case "true", "false":
		n.Kind, n.Text = Bool, word
	case "null":
		n.Kind = Null
	default:
		return p.fail("found %s, expected a value; put strings into double quotes", shorten(word))
	}
	p.pos = end
	return nil
}

// number follows the grammar of RFC 8259 and keeps the text as it is.
func (p *jsonParser) number() (string, error) {
	end := numberEnd(p.data, p.pos)
	if end == p.pos {
		return "", p.fail("this is not a number of JSON: no leading zeros, digits on both sides of the point")
	}
	text := p.data[p.pos:end]
	if end < len(p.data) {
		if c := p.data[end]; c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '.' {
			return "", p.fail("found something else right after the number %s; put strings into double quotes", shorten(text))
		}
	}
	p.pos = end
	return text, nil
}

// numberEnd returns where the number that begins at start ends, or start.
func numberEnd(data string, start int) int {
	digits := func(i int) int {
		for i < len(data) && data[i] >= '0' && data[i] <= '9' {
			i++
		}
		return i
	}
	i := start
	if i < len(data) && data[i] == '-' {
		i++
	}
	whole := digits(i)
	if whole == i {
		return start
	}
	if data[i] == '0' && whole > i+1 {
		return start
	}
	if i = whole; i < len(data) && data[i] == '.' {
		fraction := digits(i + 1)
		if fraction == i+1 {
			return start
		}
		i = fraction
	}
	if i < len(data) && data[i]|0x20 == 'e' {
		exponent := i + 1
		if exponent < len(data) && (data[exponent] == '+' || data[exponent] == '-') {
			exponent++
		}
		end := digits(exponent)
		if end == exponent {
			return start
		}
		i = end
	}
	return i
}

func (p *jsonParser) string() (string, error) {
	start := p.pos + 1
	for i := start; i < len(p.data); i++ {
		switch c := p.data[i]; {
		case c == '"':
			p.pos = i + 1
			return p.data[start:i], nil
		case c == '\\':
			return p.escaped(start, i)
		case c < ' ':
			return "", p.control(i)
		}
	}
	return "", p.fail("the string that begins here has no closing quote")
}

func (p *jsonParser) control(offset int) error {
	if c := p.data[offset]; c == '\n' || c == '\r' {
		return p.fail("the string that begins here has no closing quote on its line")
	}
	p.pos = offset
	return p.fail("found the control character %s in a string; write it as \\u%04x", p.found(), p.data[offset])
}

// escaped reads the rest of a string whose first backslash is at i.
func (p *jsonParser) escaped(start, i int) (string, error) {
	text := []byte(p.data[start:i])
	for i < len(p.data) {
		switch c := p.data[i]; {
		case c == '"':
			p.pos = i + 1
			return string(text), nil
		case c < ' ':
			return "", p.control(i)
		case c != '\\':
			text = append(text, c)
			i++
		default:
			r, next := escape(p.data, i, p.lenient)
			if next == i {
				p.pos = i
				return "", p.fail(`unknown escape in a string; JSON has \" \\ \/ \b \f \n \r \t and \u with four hexadecimal digits`)
			}
			text = utf8.AppendRune(text, r)
			i = next
		}
	}
	return "", p.fail("the string that begins here has no closing quote")
}

// escape decodes the escape at i and returns where it ends, or i when it is
// none. Half a surrogate pair is none, or the replacement character.
func escape(data string, i int, lenient bool) (r rune, next int) {
	if i+1 >= len(data) {
		return 0, i
	}
	switch c := data[i+1]; c {
	case '"', '\\', '/':
		return rune(c), i + 2
	case 'b':
		return '\b', i + 2
	case 'f':
		return '\f', i + 2
	case 'n':
		return '\n', i + 2
	case 'r':
		return '\r', i + 2
	case 't':
		return '\t', i + 2
	case 'u':
		r, next = hex4(data, i)
		if utf16.IsSurrogate(r) {
			low, end := hex4(data, next)
			if pair := utf16.DecodeRune(r, low); end > next && pair != utf8.RuneError {
				return pair, end
			}
			if lenient {
				return utf8.RuneError, next
			}
			return 0, i
		}
		return r, next
	}
	return 0, i
}

// hex4 decodes \uXXXX at i and returns where it ends, or i when it is none.
func hex4(data string, i int) (r rune, next int) {
	if i+6 > len(data) || data[i] != '\\' || data[i+1] != 'u' {
		return 0, i
	}
	n, err := strconv.ParseUint(data[i+2:i+6], 16, 16)
	if err != nil {
		return 0, i
	}
	return rune(n), i + 6
}
