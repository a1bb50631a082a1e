package demo

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestReadCommand(t *testing.T) {
	long := strings.Repeat("x", maxLine+1)
	tests := []struct {
		in   string
		want string // words joined by |
		err  string
	}{
		{"PING\r\n", "PING", ""},
		{"  set  k\tv \n", "set|k|v", ""},
		{"\r\n", "", ""},
		{"*0\r\n", "", ""},
		{"*-1\r\n", "", ""},
		{"*2\r\n$3\r\nGET\r\n$5\r\na\r\nb\x00\r\n", "GET|a\r\nb\x00", ""},
		{"*1\r\n$0\r\n\r\n", "", ""},
		{"", "", "EOF"},
		{"PING", "", "unexpected EOF"},
		{"*1\r\n", "", "unexpected EOF"},
		{"*1\r\n$3\r\nGE", "", "unexpected EOF"},
		{"*1\r\n$3\r\nGET", "", "unexpected EOF"},
		{"*129\r\n", "", "Protocol error: invalid multibulk length"},
		{"*-2\r\n", "", "Protocol error: invalid multibulk length"},
		{"*x\r\n", "", "Protocol error: invalid multibulk length"},
		{"*1\r\nGET\r\n", "", `Protocol error: expected '$', got "G"`},
		{"*1\r\n$-1\r\n", "", "Protocol error: invalid bulk length"},
		{"*1\r\n$999999999\r\n", "", "Protocol error: invalid bulk length"},
		{"*1\r\n$3\r\nGETX\r\n", "", "Protocol error: bulk string longer than announced"},
		{long + "\r\n", "", "Protocol error: too big inline request"},
		{strings.Repeat("a ", maxWords+1) + "\r\n", "", "Protocol error: too many words"},
	}
	for _, tt := range tests {
		words, err := readCommand(bufio.NewReaderSize(strings.NewReader(tt.in), maxLine))
		if got := string(bytes.Join(words, []byte("|"))); err == nil && got != tt.want {
			t.Errorf("%.40q: words %q, want %q", tt.in, got, tt.want)
		}
		if got := errorText(err); got != tt.err {
			t.Errorf("%.40q: error %q, want %q", tt.in, got, tt.err)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// All words of a command together are bounded too.
func TestReadCommandTotal(t *testing.T) {
	var in []byte
	in = appendArray(in, 4)
	for range 4 {
		in = appendBulk(in, make([]byte, maxValue))
	}
	_, err := readCommand(bufio.NewReaderSize(bytes.NewReader(in), maxLine))
	var bad protocolError
	if !errors.As(err, &bad) {
		t.Errorf("error %v, want a protocol error", err)
	}
}

func FuzzReadCommand(f *testing.F) {
	for _, s := range []string{"PING\r\n", "*2\r\n$3\r\nGET\r\n$1\r\na\r\n", "*1\r\n$0\r\n\r\nset a b\n", "*-1\r\n", "$3\r\n", "*1\r\n$5\r\nab"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(in), maxLine)
		s := new(store)
		for {
			words, err := readCommand(r)
			if err != nil {
				var bad protocolError
				if !errors.As(err, &bad) && err != io.EOF && err != io.ErrUnexpectedEOF {
					t.Fatalf("error of no known kind: %v", err)
				}
				return
			}
			if len(words) == 0 {
				continue
			}
			// What was read and is written again is read as the same.
			b := appendArray(nil, len(words))
			for _, w := range words {
				b = appendBulk(b, w)
			}
			again, err := readCommand(bufio.NewReaderSize(bytes.NewReader(b), maxLine))
			if err != nil || !bytes.Equal(bytes.Join(again, []byte("|")), bytes.Join(words, []byte("|"))) {
				t.Fatalf("%q is read again as %q, %v", words, again, err)
			}
			// Each command has one well-formed reply.
			out, _ := execute(nil, s, words)
			checkReply(t, out)
		}
	})
}

func checkReply(t *testing.T, out []byte) {
	t.Helper()
	r := bufio.NewReaderSize(bytes.NewReader(out), maxLine)
	n := 1
	if out[0] == '*' {
		line, err := readLine(r)
		if err != nil {
			t.Fatalf("reply %q: %v", out, err)
		}
		if n, err = parseLength(line[1:], maxKeys); err != nil {
			t.Fatalf("reply %q: %v", out, err)
		}
	}
	for range n {
		var refused serverError
		if _, err := readReply(r); err != nil && !errors.As(err, &refused) {
			t.Fatalf("reply %q: %v", out, err)
		}
	}
	if rest, _ := io.ReadAll(r); len(rest) > 0 {
		t.Fatalf("reply %q: %q is left over", out, rest)
	}
}
