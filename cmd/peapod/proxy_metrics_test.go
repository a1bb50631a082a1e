package main

import (
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/peapod/peapod/proxy"
)

func TestReadRequest(t *testing.T) {
	for text, want := range map[string]string{
		"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n": "GET /metrics",
		"HEAD /status?x=1 HTTP/1.0\n\n":            "HEAD /status",
		"GET /metrics HTTP/1.1\r\n":                "",
		"GET /metrics\r\n\r\n":                     "",
		"":                                         "",
		"GET / HTTP/1.1\r\nX: " + strings.Repeat("x", maxRequest) + "\r\n\r\n": "",
	} {
		method, path, err := readRequest(strings.NewReader(text))
		if got := strings.TrimSpace(method + " " + path); got != want || (err == nil) != (want != "") {
			t.Errorf("%.40q: %q, %v", text, got, err)
		}
	}
}

func FuzzReadRequest(f *testing.F) {
	f.Add("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		_, path, err := readRequest(strings.NewReader(text))
		if err == nil && strings.ContainsAny(path, " \r\n?") {
			t.Fatalf("path %q", path)
		}
	})
}

func TestMetricsRespond(t *testing.T) {
	m := &metricsServer{pages: map[string]page{"/metrics": {"text/x", func(w io.Writer) { io.WriteString(w, "all is well\n") }}}}
	for _, tt := range []struct{ method, path, status, kind, body string }{
		{"GET", "/metrics", "200 OK", "text/x", "all is well\n"},
		{"HEAD", "/metrics", "200 OK", "text/x", "all is well\n"}, // for its length
		{"POST", "/metrics", "405 Method Not Allowed", "text/plain; charset=utf-8", "only GET and HEAD\n"},
		{"GET", "/", "404 Not Found", "text/plain; charset=utf-8", "there are /metrics and /status\n"},
	} {
		status, kind, body := m.respond(tt.method, tt.path)
		if status != tt.status || kind != tt.kind || string(body) != tt.body {
			t.Errorf("%s %s: %s, %s, %q", tt.method, tt.path, status, kind, body)
		}
	}
}

// Whatever a service is called, a line is a sample.
func TestPrometheusLabels(t *testing.T) {
	s := &proxyStatus{Services: []serviceStatus{{Name: "a\"b\\c\nd", Backends: []backendStatus{{Address: "1.2.3.4:5", State: proxy.EndpointReady.String(), latency: new(proxy.Histogram)}}}}}
	var b strings.Builder
	s.prometheus(&b)
	sample := regexp.MustCompile(`^peapod_proxy_[a-z_]+\{service="a\\"b\\\\c\\nd"(,[a-z]+="[^"]*")*\} [0-9.e+-]+$`)
	n := 0
	for line := range strings.Lines(b.String()) {
		line = strings.TrimSuffix(line, "\n")
		if !strings.HasPrefix(line, "# ") {
			n++
			if !sample.MatchString(line) {
				t.Errorf("no sample: %s", line)
			}
		}
	}
	if n < 20 {
		t.Errorf("%d samples only:\n%s", n, b.String())
	}
}
