package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// kvTimeout is for a whole command: a page must not hang on its back end.
const kvTimeout = 2 * time.Second

// serverError is an error that the key-value server answered with.
type serverError string

func (e serverError) Error() string { return string(e) }

// kvDo sends one command to the key-value server at addr over a connection of
// its own and returns the reply: of a number its digits, nil for the null
// string. A back end that comes back is so found again without more ado.
func kvDo(ctx context.Context, addr string, words ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, kvTimeout)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err // package net names operation and address
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	c.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()

	b := appendArray(nil, len(words))
	for _, word := range words {
		b = appendBulk(b, []byte(word))
	}
	if _, err := c.Write(b); err != nil {
		return nil, fmt.Errorf("send %s to %s: %w", words[0], addr, err)
	}
	reply, err := readReply(bufio.NewReaderSize(c, maxLine))
	if err != nil {
		return nil, fmt.Errorf("%s at %s: %w", words[0], addr, err)
	}
	return reply, nil
}

// readReply reads any reply of RESP2 but an array.
func readReply(r *bufio.Reader) ([]byte, error) {
	line, err := readLine(r)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	if len(line) == 0 {
		return nil, protocolError("empty reply")
	}
	kind, rest := line[0], append([]byte{}, line[1:]...)
	switch kind {
	case '+':
		return rest, nil
	case ':':
		if _, err := strconv.ParseInt(string(rest), 10, 64); err != nil {
			return nil, protocolError("malformed number")
		}
		return rest, nil
	case '-':
		return nil, serverError(rest)
	case '$':
		if string(rest) == "-1" {
			return nil, nil
		}
		return readBulkBody(r, rest, maxValue)
	}
	return nil, protocolError(fmt.Sprintf("reply of unknown kind %q", kind))
}
