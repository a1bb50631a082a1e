package demo

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func startWeb(t *testing.T, kv string) (addr string, stop func()) {
	w := &web{ctx: t.Context(), kv: kv, started: time.Now()}
	return start(t, newHTTP(w.handle))
}

// fetch sends a request with package net/http's client: an independent reader of
// what the server writes.
func fetch(t *testing.T, method, url, accept, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr, Timeout: 5 * time.Second}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func TestWeb(t *testing.T) {
	t.Setenv("POD_NAME", `<pod "x">`)
	kv, _ := start(t, newKV())
	addr, _ := startWeb(t, kv)
	base := "http://" + addr
	tests := []struct {
		method, path, accept, body string
		status                     int
		kind, want                 string
	}{
		{"GET", "/", "*/*", "", 200, "text/plain; charset=utf-8", "visits       1\n"},
		{"GET", "/", "text/html,*/*", "", 200, "text/html; charset=utf-8", "<strong>2</strong>"},
		{"HEAD", "/", "text/html", "", 200, "text/html; charset=utf-8", ""},
		{"GET", "/?x=1", "text/html", "", 200, "text/html; charset=utf-8", "&lt;pod &#34;x&#34;&gt;"},
		{"GET", "/", "application/json", "", 200, "application/json", `"visits": 4`},
		{"GET", "/json", "text/html", "", 200, "application/json", `"visits": 5`},
		{"GET", "/healthz", "", "", 200, "text/plain; charset=utf-8", "ok\n"},
		{"GET", "/nothing", "", "", 404, "text/plain; charset=utf-8", "nothing here"},
		{"POST", "/", "", "x", 405, "text/plain; charset=utf-8", "only GET, HEAD"},
		{"GET", "/kv/none", "", "", 404, "text/plain; charset=utf-8", `no such key: "none"`},
		{"PUT", "/kv/a%20b", "", "one\r\ntwo", 204, "", ""},
		{"GET", "/kv/a%20b", "", "", 200, "application/octet-stream", "one\r\ntwo"},
		{"DELETE", "/kv/a", "", "", 405, "text/plain; charset=utf-8", "only GET, HEAD, PUT"},
		{"PUT", "/kv/" + strings.Repeat("k", maxKey+1), "", "x", 400, "text/plain; charset=utf-8", "longer than 1024"},
		{"PUT", "/kv/big", "", strings.Repeat("x", maxValue), 204, "", ""},
		{"PUT", "/kv/big", "", strings.Repeat("x", maxValue+1), 413, "text/plain; charset=utf-8", "at most"},
	}
	for _, tt := range tests {
		resp, body := fetch(t, tt.method, base+tt.path, tt.accept, tt.body)
		if resp.StatusCode != tt.status || resp.Header.Get("Content-Type") != tt.kind || !strings.Contains(body, tt.want) {
			t.Errorf("%s %.40s: %d %q %.300q, want %d %q %q", tt.method, tt.path, resp.StatusCode,
				resp.Header.Get("Content-Type"), body, tt.status, tt.kind, tt.want)
		}
	}
	if got, err := kvDo(t.Context(), kv, "GET", visitsKey); string(got) != "5" {
		t.Errorf("visits %q, %v: only GET of a page counts", got, err)
	}
}

func TestWebFacts(t *testing.T) {
	t.Setenv("POD_NAME", "hello")
	addr, _ := startWeb(t, "127.0.0.1:1")
	_, body := fetch(t, "GET", "http://"+addr+"/json", "", "")
	var f facts
	if err := json.Unmarshal([]byte(body), &f); err != nil {
		t.Fatal(err)
	}
	if f.Pod != "hello" || f.Pid == 0 || f.Hostname == "" || f.Namespaces["net"] == "" || len(f.Arguments) == 0 ||
		len(f.Processes) == 0 || len(f.Environment) == 0 || f.Backend != "127.0.0.1:1" {
		t.Errorf("facts are missing: %s", body)
	}
	if f.Visits != nil || !strings.Contains(f.VisitsError, "connection refused") {
		t.Errorf("visits %v, %q without a back end", f.Visits, f.VisitsError)
	}
	for accept, want := range map[string]string{"text/html": "does not answer at 127.0.0.1:1", "*/*": "back end away: dial tcp"} {
		if _, body := fetch(t, "GET", "http://"+addr+"/", accept, ""); !strings.Contains(body, want) {
			t.Errorf("%s: no %q in %s", accept, want, body)
		}
	}
	if resp, body := fetch(t, "GET", "http://"+addr+"/kv/a", "", ""); resp.StatusCode != 502 {
		t.Errorf("/kv/a without a back end: %d %s", resp.StatusCode, body)
	}
}

func TestHTTP(t *testing.T) {
	w := &web{ctx: t.Context(), kv: "127.0.0.1:1", started: time.Now()}
	addr, _ := start(t, newHTTP(w.handle))
	const get, ok = "GET /healthz HTTP/1.1\r\nHost: x\r\n", "HTTP/1.1 200 OK"
	tests := []struct{ in, want string }{ // want: the status lines
		{get + "\r\n", ok},
		{get + "\r\n" + get + "\r\n", ok + "|" + ok},
		{get + "Connection: close\r\n\r\n" + get + "\r\n", ok},
		{get + "Connection: Foo , Close\r\n\r\n" + get + "\r\n", ok},
		{"GET /healthz HTTP/1.0\r\n\r\n" + get + "\r\n", ok},
		{"PUT /kv/a HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc", "HTTP/1.1 100 Continue|HTTP/1.1 502 Bad Gateway"},
		{"PUT /kv/a HTTP/1.1\r\nContent-Length: 3\r\nExpect: tea\r\n\r\nabc", "HTTP/1.1 417 Expectation Failed"},
		{"PUT /kv/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 501 Not Implemented"},
		{"PUT /kv/a HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "HTTP/1.1 400 Bad Request"},
		{"PUT /kv/a HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 400 Bad Request"},
		{"GET /%zz HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request"},
		{"GET /\r\n\r\n", "HTTP/1.1 505 HTTP Version Not Supported"},
		{"nonsense\r\n\r\n", "HTTP/1.1 400 Bad Request"},
		{get + "no colon\r\n\r\n", "HTTP/1.1 400 Bad Request"},
		{get + "a b: c\r\n\r\n", "HTTP/1.1 400 Bad Request"},
		{get + "X: " + strings.Repeat("x", maxHeader) + "\r\n\r\n", "HTTP/1.1 431 Request Header Fields Too Large"},
		{get, ""}, // ends in the middle
		{"", ""},
	}
	for _, tt := range tests {
		var lines []string
		for line := range strings.SplitSeq(talk(t, addr, tt.in), "\r\n") {
			if strings.HasPrefix(line, "HTTP/") {
				lines = append(lines, line)
			} else if _, after, ok := strings.Cut(line, "\nHTTP/"); ok { // after a body
				lines = append(lines, "HTTP/"+after)
			}
		}
		if got := strings.Join(lines, "|"); got != tt.want {
			t.Errorf("%.80q: %q, want %q", tt.in, got, tt.want)
		}
	}
}

// Visitors who keep their connection, or are in the middle of a request, do
// not keep the server from stopping.
func TestWebStops(t *testing.T) {
	addr, stop := startWeb(t, "127.0.0.1:1")
	io.WriteString(dial(t, addr), "GET /healthz HTTP/1.1\r\n\r\n")
	io.WriteString(dial(t, addr), "GET /healthz HT")
	dial(t, addr)
	begin := time.Now()
	stop()
	if d := time.Since(begin); d > 3*time.Second {
		t.Errorf("stopping took %v", d)
	}
}

func FuzzReadRequest(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
	f.Add([]byte("PUT /kv/%41 HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nab"))
	f.Add([]byte("GET /a?b HTTP/1.0\nConnection: close\n\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(in), 64)
		req, err := readRequest(r, io.Discard)
		if err != nil {
			return
		}
		if !isToken(req.method) || !strings.HasPrefix(req.path, "/") || len(req.body) > maxValue {
			t.Errorf("%q is read as %+v", in, req)
		}
	})
}
