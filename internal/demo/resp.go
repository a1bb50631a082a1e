package demo

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// What one command may have at most. Redis allows 512 MB strings; a demo that
// runs under a small memory limit must not.
const (
	maxLine  = 4 << 10   // an inline command, or the head of an array or string
	maxWords = 128       // words in a command
	maxValue = 256 << 10 // bytes of one word
	maxBytes = 512 << 10 // bytes of all words of a command
)

// protocolError is a violation of the protocol, after which where the next
// command starts is unknown: the connection has to be closed.
type protocolError string

func (e protocolError) Error() string { return "Protocol error: " + string(e) }

// readCommand reads one command in either form of RESP2: an array of bulk
// strings, or words on a line. It returns no words for an empty line or array,
// io.EOF between commands, io.ErrUnexpectedEOF inside one, or a protocolError.
func readCommand(r *bufio.Reader) ([][]byte, error) {
	line, err := readLine(r)
	if err != nil {
		return nil, err
	}
	if len(line) == 0 || line[0] != '*' {
		words := bytes.Fields(bytes.Clone(line))
		if len(words) > maxWords {
			return nil, protocolError("too many words")
		}
		return words, nil
	}
	n, err := parseLength(line[1:], maxWords)
	if err != nil {
		return nil, protocolError("invalid multibulk length")
	}
	words := make([][]byte, 0, max(n, 0))
	total := 0
	for range n {
		word, err := readBulk(r, maxBytes-total)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		words = append(words, word)
		total += len(word)
	}
	return words, nil
}

// readLine returns the next line without its end, valid until the next read.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull), len(line) > maxLine:
		return nil, protocolError("too big inline request")
	case errors.Is(err, io.EOF) && len(line) > 0:
		return nil, io.ErrUnexpectedEOF
	case err != nil:
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
}

func readBulk(r *bufio.Reader, left int) ([]byte, error) {
	line, err := readLine(r)
	if err != nil {
		return nil, err
	}
	if len(line) == 0 || line[0] != '$' {
		return nil, protocolError(fmt.Sprintf("expected '$', got %.1q", line))
	}
	return readBulkBody(r, line[1:], min(maxValue, left))
}

// readBulkBody reads a string of the announced length and its line end.
func readBulkBody(r *bufio.Reader, length []byte, limit int) ([]byte, error) {
	n, err := parseLength(length, limit)
	if err != nil || n < 0 {
		return nil, protocolError("invalid bulk length")
	}
	// Grown as the bytes come: a client cannot make the server allocate what
	// it only announces.
	var b bytes.Buffer
	if _, err := io.CopyN(&b, r, int64(n)); err != nil {
		return nil, err
	}
	if end, err := readLine(r); err != nil {
		return nil, err
	} else if len(end) > 0 {
		return nil, protocolError("bulk string longer than announced")
	}
	return append([]byte{}, b.Bytes()...), nil // never nil, and no larger than needed
}

// parseLength parses a decimal number from -1 to limit.
func parseLength(b []byte, limit int) (int, error) {
	n, err := strconv.Atoi(string(b))
	if err != nil {
		return 0, err
	}
	if n < -1 || n > limit {
		return 0, fmt.Errorf("length %d: not within -1 to %d", n, limit)
	}
	return n, nil
}

// The replies of RESP2, appended to b.

func appendStatus(b []byte, s string) []byte { return append(append(append(b, '+'), s...), "\r\n"...) }

func appendError(b []byte, s string) []byte {
	b = append(b, '-')
	for i := range len(s) { // a line end inside would start another reply
		if c := s[i]; c < ' ' {
			b = append(b, ' ')
		} else {
			b = append(b, c)
		}
	}
	return append(b, "\r\n"...)
}

func appendInt(b []byte, n int64) []byte {
	return append(strconv.AppendInt(append(b, ':'), n, 10), "\r\n"...)
}

func appendArray(b []byte, n int) []byte {
	return append(strconv.AppendInt(append(b, '*'), int64(n), 10), "\r\n"...)
}

// appendBulk appends a string of any bytes, or the null string for nil.
func appendBulk(b, s []byte) []byte {
	if s == nil {
		return append(b, "$-1\r\n"...)
	}
	b = append(strconv.AppendInt(append(b, '$'), int64(len(s)), 10), "\r\n"...)
	return append(append(b, s...), "\r\n"...)
}
