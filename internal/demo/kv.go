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

// execute runs the command in words, which are not empty, appends its reply to
// out and reports whether the connection ends with it.
func execute(out []byte, s *store, words [][]byte) (reply []byte, quit bool) {
	name, args := strings.ToUpper(string(words[0])), words[1:]
	least, most := 1, 1
	switch name {
	case "PING":
		least = 0
	case "QUIT":
		least, most = 0, 0
	case "SET":
		least, most = 2, 2
	case "DEL", "EXISTS":
		most = maxWords
	case "GET", "INCR", "KEYS":
	default:
		return appendError(out, fmt.Sprintf("ERR unknown command %.64q", words[0])), false
	}
	if len(args) < least || len(args) > most {
		return appendError(out, fmt.Sprintf("ERR wrong number of arguments for '%s' command", strings.ToLower(name))), false
	}
	return do(out, s, name, args), name == "QUIT"
}

// do runs a known command with as many arguments as it takes.
func do(out []byte, s *store, name string, args [][]byte) []byte {
	switch name {
	case "PING":
		if len(args) == 1 {
			return appendBulk(out, args[0])
		}
		return appendStatus(out, "PONG")
	case "GET":
		return appendBulk(out, s.get(string(args[0])))
	case "SET":
		if err := s.set(string(args[0]), args[1]); err != nil {
			return appendError(out, err.Error())
		}
	case "INCR":
		n, err := s.incr(string(args[0]))
		if err != nil {
			return appendError(out, err.Error())
		}
		return appendInt(out, n)
	case "DEL":
		return appendInt(out, count(args, s.del))
	case "EXISTS":
		return appendInt(out, count(args, func(key string) bool { return s.get(key) != nil }))
	case "KEYS":
		return appendKeys(out, s.keys(string(args[0])))
	}
	return appendStatus(out, "OK") // SET, QUIT
}

func appendKeys(out []byte, keys []string) []byte {
	out = appendArray(out, len(keys))
	for _, key := range keys {
		out = appendBulk(out, []byte(key))
	}
	return out
}

func count(args [][]byte, is func(key string) bool) (n int64) {
	for _, key := range args {
		if is(string(key)) {
			n++
		}
	}
	return n
}
