package pod

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// A probe's request is made here: package net/http would cost every start of
// the program 0.2 ms, and 3 MB.

const (
	maxProbeHeader = 16 << 10 // bytes of an answer's status line and header
	maxProbeBody   = 10 << 10 // that are read, as by the kubelet
	probeLinger    = 100 * time.Millisecond
)

// httpGet is well when the status is from 200 to 399. A redirection is not
// followed: that the server gives one is an answer.
func (p *probing) httpGet(ctx context.Context, a *HTTPGetAction) (outcome, error) {
	c, to, err := p.dial(ctx, a.Host, a.Port)
	what := fmt.Sprintf("GET http://%s%s", to, httpPath(a.Path))
	if err != nil {
		return bad("%s: %v", what, reason(ctx, err)), nil
	}
	status, err := a.exchange(ctx, c, to)
	switch {
	case err != nil:
		return bad("%s: %v", what, reason(ctx, err)), nil
	case status < 200 || status > 399:
		return bad("%s: status %d", what, status), nil
	}
	return outcome{ok: true}, nil
}

// exchange sends the request and returns the answer's status.
func (a *HTTPGetAction) exchange(ctx context.Context, c net.Conn, to netip.AddrPort) (int, error) {
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	// A server may answer before it has read the request, and close.
	_, unsent := c.Write(a.request(to))
	status, err := readAnswer(c)
	if err != nil && unsent != nil {
		err = unsent
	}
	return status, err
}

// request is the request's text.
func (a *HTTPGetAction) request(to netip.AddrPort) []byte {
	host, agent, accept := to.String(), "peapod-probe", "*/*"
	var rest []byte
	for _, h := range a.HTTPHeaders {
		switch strings.ToLower(h.Name) {
		case "host":
			host = h.Value
		case "user-agent":
			agent = h.Value
		case "accept":
			accept = h.Value
		case "connection":
		default:
			rest = fmt.Appendf(rest, "%s: %s\r\n", h.Name, h.Value)
		}
	}
	b := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\nAccept: %s\r\nConnection: close\r\n", httpPath(a.Path), host, agent, accept)
	return append(append(b, rest...), "\r\n"...)
}

// httpPath is what of a path goes into a request: from a slash, without a
// fragment, in ASCII.
func httpPath(path string) string {
	path, _, _ = strings.Cut(path, "#")
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	var b strings.Builder
	for i := range len(path) {
		if path[i] < 0x80 {
			b.WriteByte(path[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", path[i])
		}
	}
	return b.String()
}

// readAnswer reads an answer and returns its status. A server that is still
// writing when its client goes would see a reset, so some of the body is read
// too; how that ends is of no interest.
func readAnswer(c net.Conn) (int, error) {
	r := bufio.NewReader(io.LimitReader(c, maxProbeHeader))
	for {
		status, length, err := readHead(r)
		if err != nil {
			return 0, err
		}
		if status >= 200 {
			c.SetReadDeadline(time.Now().Add(probeLinger))
			if length < 0 || length > maxProbeBody {
				length = maxProbeBody
			}
			io.CopyN(io.Discard, io.MultiReader(r, c), int64(length))
			return status, nil
		}
		// 100 Continue, 103 Early Hints: the answer is still to come.
	}
}

// readHead reads a status line and a header. The length is that of the body,
// negative where it is not told.
func readHead(r *bufio.Reader) (status, length int, err error) {
	line, err := headLine(r)
	if err != nil {
		return 0, 0, err
	}
	version, rest, _ := strings.Cut(line, " ")
	code, _, _ := strings.Cut(rest, " ")
	if status, err = strconv.Atoi(code); err != nil || len(code) != 3 || status < 100 || !strings.HasPrefix(version, "HTTP/1.") {
		return 0, 0, fmt.Errorf("the answer is not HTTP/1: it begins with %.40q", line)
	}
	for length = -1; ; {
		if line, err = headLine(r); err != nil || line == "" {
			return status, length, err
		}
		name, value, _ := strings.Cut(line, ":")
		if strings.EqualFold(name, "Content-Length") {
			if n, err := strconv.Atoi(strings.TrimSpace(value)); err == nil && n >= 0 {
				length = n
			}
		}
	}
}

// headLine reads a line without its end.
func headLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	switch {
	case errors.Is(err, io.EOF) && len(line) == 0:
		return "", errors.New("the connection was closed before the answer was complete")
	case errors.Is(err, io.EOF):
		return "", fmt.Errorf("the answer's header is longer than %d bytes, or was cut off", maxProbeHeader)
	case err != nil:
		return "", err
	}
	return strings.TrimRight(line, "\r\n"), nil
}
