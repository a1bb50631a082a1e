package demo

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// maxClients bounds the memory that connections can take: each may have one
// command of maxBytes in flight.
const maxClients = 64

func kvMain(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("kv", flag.ContinueOnError)
	addr := fs.String("listen", "127.0.0.1:6380", "`address` to listen on")
	if err := parse(fs, args, stderr, 0); err != nil {
		return err
	}
	ln, err := listen(ctx, "kv", *addr, stdout)
	if err != nil {
		return err
	}
	return newKV().serve(ctx, ln)
}

// newKV returns a server with an empty store.
func newKV() *server {
	s := new(store)
	return &server{
		limit:  maxClients,
		refuse: "-ERR max number of clients reached\r\n",
		handle: func(ctx context.Context, c net.Conn) { serveKV(ctx, c, s) },
	}
}

func serveKV(ctx context.Context, c net.Conn, s *store) {
	r := bufio.NewReaderSize(c, maxLine)
	var out []byte
	for quit := false; !quit; {
		// Pipelined commands are answered with one write, as long as the
		// replies are small.
		if len(out) > 0 && (r.Buffered() == 0 || len(out) > maxLine) {
			if !flush(c, out) {
				return
			}
			out = out[:0]
		}
		if !awaitRequest(ctx, c, 0) {
			break
		}
		words, err := readCommand(r)
		var bad protocolError
		switch {
		case errors.As(err, &bad):
			out, quit = appendError(out, "ERR "+bad.Error()), true
		case err != nil:
			quit = true
		case len(words) > 0:
			out, quit = execute(out, s, words)
		}
	}
	if flush(c, out) {
		linger(ctx, c)
	}
}

func flush(c net.Conn, out []byte) bool {
	c.SetWriteDeadline(time.Now().Add(30 * time.Second))
	_, err := c.Write(out)
	return err == nil
}

// command is what one word does: its reply is appended to out.
type command struct {
	least, most int // arguments
	do          func(out []byte, s *store, args [][]byte) []byte
}

// many is more arguments than a command can have.
const many = maxWords

var commands = map[string]command{
	"PING": {0, 1, func(out []byte, s *store, args [][]byte) []byte {
		if len(args) == 1 {
			return appendBulk(out, args[0])
		}
		return appendStatus(out, "PONG")
	}},
	"GET": {1, 1, func(out []byte, s *store, args [][]byte) []byte {
		return appendBulk(out, s.get(string(args[0])))
	}},
	"SET": {2, 2, func(out []byte, s *store, args [][]byte) []byte {
		if err := s.set(string(args[0]), args[1]); err != nil {
			return appendError(out, err.Error())
		}
		return appendStatus(out, "OK")
	}},
	"INCR": {1, 1, func(out []byte, s *store, args [][]byte) []byte {
		n, err := s.incr(string(args[0]))
		if err != nil {
			return appendError(out, err.Error())
		}
		return appendInt(out, n)
	}},
	"DEL": {1, many, func(out []byte, s *store, args [][]byte) []byte {
		return appendInt(out, count(args, func(key string) bool { return s.del(key) }))
	}},
	"EXISTS": {1, many, func(out []byte, s *store, args [][]byte) []byte {
		return appendInt(out, count(args, func(key string) bool { return s.get(key) != nil }))
	}},
	"KEYS": {1, 1, func(out []byte, s *store, args [][]byte) []byte {
		keys := s.keys(string(args[0]))
		out = appendArray(out, len(keys))
		for _, key := range keys {
			out = appendBulk(out, []byte(key))
		}
		return out
	}},
	"QUIT": {0, 0, func(out []byte, s *store, args [][]byte) []byte {
		return appendStatus(out, "OK")
	}},
}

func count(args [][]byte, is func(key string) bool) (n int64) {
	for _, key := range args {
		if is(string(key)) {
			n++
		}
	}
	return n
}

// execute runs the command in words, which are not empty, appends its reply to
// out and reports whether the connection ends with it.
func execute(out []byte, s *store, words [][]byte) ([]byte, bool) {
	name := strings.ToUpper(string(words[0]))
	cmd, ok := commands[name]
	args := words[1:]
	switch {
	case !ok:
		return appendError(out, fmt.Sprintf("ERR unknown command %.64q", words[0])), false
	case len(args) < cmd.least || len(args) > cmd.most:
		return appendError(out, fmt.Sprintf("ERR wrong number of arguments for '%s' command", strings.ToLower(name))), false
	}
	return cmd.do(out, s, args), name == "QUIT"
}
