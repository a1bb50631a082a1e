package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	maxHeader   = 16 << 10 // bytes of a request line and its header fields
	idleTimeout = 60 * time.Second
	readTimeout = 10 * time.Second // for all of a request once it has begun
	maxVisitors = 128              // connections at a time
)

// httpRequest is one HTTP/1.x request, with what this server looks at.
type httpRequest struct {
	method string
	path   string            // decoded, without the query
	header map[string]string // lower-case names; repeated ones joined by ", "
	body   []byte
	close  bool // the connection ends with the response
}

// httpResponse is what a handler answers. The zero status means 200.
type httpResponse struct {
	status int
	kind   string // Content-Type
	header string // further fields, each with its line end
	body   []byte
}

// httpError is a request that cannot be served, after which the connection is
// closed: where the next request starts may be unknown.
type httpError struct {
	status int
	text   string
}

func (e *httpError) Error() string { return fmt.Sprintf("%d %s", e.status, e.text) }

// statusText is a function, not a map: a map would be filled at the start of
// every peapod command.
func statusText(status int) string {
	switch status {
	case 200:
		return "OK"
	case 204:
		return "No Content"
	case 400:
		return "Bad Request"
	case 404:
		return "Not Found"
	case 405:
		return "Method Not Allowed"
	case 408:
		return "Request Timeout"
	case 413:
		return "Content Too Large"
	case 417:
		return "Expectation Failed"
	case 431:
		return "Request Header Fields Too Large"
	case 501:
		return "Not Implemented"
	case 502:
		return "Bad Gateway"
	case 503:
		return "Service Unavailable"
	case 505:
		return "HTTP Version Not Supported"
	}
	return "Unknown"
}

func newHTTP(handle func(*httpRequest) httpResponse) *server {
	return &server{
		limit:  maxVisitors,
		refuse: "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		handle: func(ctx context.Context, c net.Conn) { serveHTTP(ctx, c, handle) },
	}
}

func serveHTTP(ctx context.Context, c net.Conn, handle func(*httpRequest) httpResponse) {
	r := bufio.NewReaderSize(c, 4<<10)
	for awaitRequest(ctx, c, idleTimeout) {
		if _, err := r.Peek(1); err != nil || !awaitRequest(ctx, c, readTimeout) {
			return
		}
		req, err := readRequest(r, c)
		var bad *httpError
		var timeout net.Error
		switch {
		case errors.As(err, &bad):
		case errors.As(err, &timeout) && timeout.Timeout() && ctx.Err() == nil:
			bad = &httpError{408, "the request took too long"}
		case err != nil:
			return
		}
		var resp httpResponse
		if bad != nil {
			req = &httpRequest{close: true}
			resp = httpResponse{status: bad.status, kind: "text/plain; charset=utf-8", body: []byte(bad.text + "\n")}
		} else {
			resp = handle(req)
		}
		last := req.close || ctx.Err() != nil
		if !flush(c, resp.bytes(req.method == "HEAD", last)) {
			return
		}
		if last {
			linger(ctx, c)
			return
		}
	}
}

// bytes returns the response as it goes over the wire.
func (p *httpResponse) bytes(head, last bool) []byte {
	status := p.status
	if status == 0 {
		status = 200
	}
	b := fmt.Appendf(make([]byte, 0, len(p.body)+512), "HTTP/1.1 %d %s\r\n", status, statusText(status))
	if p.kind != "" {
		b = fmt.Appendf(b, "Content-Type: %s\r\n", p.kind)
	}
	if status != 204 {
		b = fmt.Appendf(b, "Content-Length: %d\r\n", len(p.body))
	}
	b = append(b, "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"...)
	b = append(b, p.header...)
	if last {
		b = append(b, "Connection: close\r\n"...)
	}
	b = append(b, "\r\n"...)
	if head || status == 204 {
		return b
	}
	return append(b, p.body...)
}

// readRequest reads one request from r, and tells a client that asks for it
// before it sends the body, over w, to go on.
func readRequest(r *bufio.Reader, w io.Writer) (*httpRequest, error) {
	left := maxHeader
	line, err := headerLine(r, &left)
	if err != nil {
		return nil, err
	}
	req, err := parseRequestLine(line)
	if err != nil {
		return nil, err
	}
	if err := req.readHeader(r, &left); err != nil {
		return nil, err
	}
	for token := range strings.SplitSeq(strings.ToLower(req.header["connection"]), ",") {
		if strings.TrimSpace(token) == "close" {
			req.close = true
		}
	}
	return req, req.readBody(r, w)
}

// headerLine returns the next line without its end and takes it off left.
func headerLine(r *bufio.Reader, left *int) (string, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if *left -= len(part); *left < 0 {
			return "", &httpError{431, "the request's header is longer than 16 KiB"}
		}
		line = append(line, part...)
		if err == nil {
			return strings.TrimSuffix(string(line[:len(line)-1]), "\r"), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return "", err
		}
	}
}

func parseRequestLine(line string) (*httpRequest, error) {
	method, rest, _ := strings.Cut(line, " ")
	target, version, _ := strings.Cut(rest, " ")
	if !isToken(method) || !strings.HasPrefix(target, "/") {
		return nil, &httpError{400, "malformed request line"}
	}
	if version != "HTTP/1.1" && version != "HTTP/1.0" {
		return nil, &httpError{505, "only HTTP/1.1 and HTTP/1.0 are spoken here"}
	}
	path, _, _ := strings.Cut(target, "?")
	path, err := url.PathUnescape(path)
	if err != nil {
		return nil, &httpError{400, err.Error()}
	}
	return &httpRequest{method: method, path: path, header: make(map[string]string), close: version == "HTTP/1.0"}, nil
}

// isToken reports whether s is what RFC 9110 allows for a method or the name
// of a header field.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') && !strings.Contains("!#$%&'*+-.^_`|~", s[i:i+1]) {
			return false
		}
	}
	return s != ""
}

func (req *httpRequest) readHeader(r *bufio.Reader, left *int) error {
	for {
		line, err := headerLine(r, left)
		if err != nil || line == "" {
			return err
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || !isToken(name) {
			return &httpError{400, "malformed header field"}
		}
		name, value = strings.ToLower(name), strings.Trim(value, " \t")
		if old, ok := req.header[name]; ok {
			value = old + ", " + value
		}
		req.header[name] = value
	}
}

func (req *httpRequest) readBody(r *bufio.Reader, w io.Writer) error {
	if _, ok := req.header["transfer-encoding"]; ok {
		return &httpError{501, "send the body with a Content-Length, not in chunks"}
	}
	length, ok := req.header["content-length"]
	if !ok {
		return nil
	}
	n, err := strconv.ParseUint(length, 10, 63) // repeated fields have a comma
	if err != nil {
		return &httpError{400, "malformed Content-Length"}
	}
	if n > maxValue {
		return &httpError{413, fmt.Sprintf("a body may have at most %d bytes", maxValue)}
	}
	if expect, ok := req.header["expect"]; ok {
		if !strings.EqualFold(expect, "100-continue") {
			return &httpError{417, "unknown expectation"}
		}
		if _, err := io.WriteString(w, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
			return err
		}
	}
	req.body = make([]byte, n)
	_, err = io.ReadFull(r, req.body)
	return err
}
