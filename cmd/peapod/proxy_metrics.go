package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sys/unix"
)

// metricsServer answers GET /metrics and GET /status, one request for each
// connection. Package net/http would take more time at the start of every
// command than most commands do.
type metricsServer struct {
	addr     metricsAddress
	listener net.Listener
	slots    chan struct{}
	pages    map[string]page
}

// page is what a path shows.
type page struct {
	kind  string // Content-Type
	write func(io.Writer)
}

const (
	// maxScrapes is how many are answered at the same time; others wait.
	maxScrapes = 8
	// scrapeTimeout is for all of a request and its answer.
	scrapeTimeout = 5 * time.Second
	// maxRequest bounds a request with its header.
	maxRequest = 16 << 10
)

func newMetricsServer(addr metricsAddress, pages map[string]page) (*metricsServer, error) {
	l, err := listenMetrics(addr)
	if err != nil {
		return nil, err
	}
	m := &metricsServer{addr: addr, listener: l, slots: make(chan struct{}, maxScrapes), pages: pages}
	go m.serve()
	return m, nil
}

func listenMetrics(addr metricsAddress) (net.Listener, error) {
	path, ok := strings.CutPrefix(string(addr), "unix:")
	if !ok {
		return net.Listen("tcp", string(addr))
	}
	l, err := net.Listen("unix", path)
	if errors.Is(err, unix.EADDRINUSE) && isStale(path) {
		if err = os.Remove(path); err == nil {
			l, err = net.Listen("unix", path)
		}
	}
	return l, err
}

// isStale reports whether path is a socket that nobody listens on: one that a
// killed process has left.
func isStale(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return false
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		c.Close()
	}
	return errors.Is(err, unix.ECONNREFUSED)
}

func (m *metricsServer) String() string {
	if strings.HasPrefix(string(m.addr), "unix:") {
		return string(m.addr)
	}
	return "http://" + m.listener.Addr().String() + "/metrics"
}

// close stops listening, and removes the socket's file.
func (m *metricsServer) close() { m.listener.Close() }

func (m *metricsServer) serve() {
	for {
		m.slots <- struct{}{}
		c, err := m.listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // out of descriptors: it passes
			time.Sleep(100 * time.Millisecond)
			<-m.slots
		default:
			go m.answer(c)
		}
	}
}

func (m *metricsServer) answer(c net.Conn) {
	defer func() { <-m.slots }()
	defer c.Close()
	c.SetDeadline(time.Now().Add(scrapeTimeout))
	method, path, err := readRequest(c)
	if err != nil {
		return
	}
	status, kind, body := m.respond(method, path)
	head := fmt.Sprintf("HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", status, kind, len(body))
	if method == "HEAD" {
		body = nil
	}
	c.Write(append([]byte(head), body...))
}

func (m *metricsServer) respond(method, path string) (status, kind string, body []byte) {
	const text = "text/plain; charset=utf-8"
	shown, ok := m.pages[path]
	switch {
	case !ok:
		return "404 Not Found", text, []byte("there are /metrics and /status\n")
	case method != "GET" && method != "HEAD":
		return "405 Method Not Allowed", text, []byte("only GET and HEAD\n")
	}
	var b bytes.Buffer
	shown.write(&b)
	return "200 OK", shown.kind, b.Bytes()
}

// readRequest reads a request to the end of its header: an answer to less may
// be lost with the connection's reset.
func readRequest(r io.Reader) (method, path string, err error) {
	lines := bufio.NewReader(io.LimitReader(r, maxRequest))
	first, err := lines.ReadString('\n')
	if err != nil {
		return "", "", err
	}
	method, rest, _ := strings.Cut(strings.TrimSpace(first), " ")
	target, version, _ := strings.Cut(rest, " ")
	if !strings.HasPrefix(version, "HTTP/1.") || strings.ContainsFunc(target, unicode.IsControl) {
		return "", "", errors.New("no HTTP request")
	}
	path, _, _ = strings.Cut(target, "?")
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return "", "", err
		}
		if strings.TrimSpace(line) == "" {
			return method, path, nil
		}
	}
}

// metricsAddr says where the metrics are, "" for nowhere.
func (s *proxyServer) metricsAddr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.metrics == nil {
		return ""
	}
	return s.metrics.String()
}

// listenMetrics returns what serves the metrics at addr: nil for "".
func (s *proxyServer) listenMetrics(addr metricsAddress) (*metricsServer, error) {
	if addr == "" {
		return nil, nil
	}
	return newMetricsServer(addr, map[string]page{
		"/metrics": {"text/plain; version=0.0.4; charset=utf-8", func(w io.Writer) { s.status().prometheus(w) }},
		"/status":  {"application/json", func(w io.Writer) { s.status().json(w) }},
	})
}
