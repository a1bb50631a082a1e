package pod

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// healthServer is a real HTTP/2 server that answers calls with what answer writes,
// and tells what it was asked for.
func healthServer(t *testing.T, answer func(w http.ResponseWriter, path string, request []byte)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Protocols: &http.Protocols{}, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request, _ := io.ReadAll(r.Body)
		if r.Header.Get("Content-Type") != "application/grpc" || r.Header.Get("Te") != "trailers" || r.Method != "POST" || r.Host != l.Addr().String() {
			http.Error(w, "no call", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/grpc")
		answer(w, r.URL.Path, request)
	})}
	s.Protocols.SetUnencryptedHTTP2(true)
	done := make(chan error)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-done })
	return l.Addr().String()
}

func check(t *testing.T, addr, service string) (uint64, error) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return (&GRPCAction{Service: service}).exchange(ctx, c, netip.MustParseAddrPort(addr))
}

func TestGRPCExchange(t *testing.T) {
	long := strings.Repeat("x", maxGRPCService)
	addr := healthServer(t, func(w http.ResponseWriter, path string, request []byte) {
		serving := []byte{0, 0, 0, 0, 2, 8, 1}
		switch {
		case path != "/grpc.health.v1.Health/Check":
			w.Header().Set("Grpc-Status", "12")
		case bytes.Equal(request, []byte{0, 0, 0, 0, 0}), bytes.HasSuffix(request, []byte("\x0a\x80\x08"+long)):
			w.Write(serving[:3])
			w.(http.Flusher).Flush()
			w.Write(serving[3:])
			w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
		case bytes.HasSuffix(request, []byte("\x0a\x04down")):
			w.Write([]byte{0, 0, 0, 0, 2, 8, 2})
		default:
			w.Header().Set("Grpc-Status", "5")
		}
	})
	for service, want := range map[string]uint64{"": 1, long: 1, "down": 2} {
		if got, err := check(t, addr, service); got != want || err != nil {
			t.Errorf("%.10q: %d, %v; want %d", service, got, err, want)
		}
	}
	if _, err := check(t, addr, "other"); err != errNoMessage {
		t.Errorf("a service that is not known: %v", err)
	}
}

// A server of HTTP/1, one that closes, and one that says nothing.
func TestGRPCNoServer(t *testing.T) {
	for said, want := range map[string]string{"HTTP/1.1 400 Bad Request\r\n\r\n": "not HTTP/2", "": "closed before", "\x00\x00\x00\x04\x01\x00\x00\x00\x00": "not HTTP/2"} {
		client, server := net.Pipe()
		go func() {
			go io.Copy(io.Discard, server)
			io.WriteString(server, said)
			server.Close()
		}()
		if _, err := readGRPC(client); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", said, err)
		}
		client.Close()
	}
}

// answerOf is what a server sends in these frames, after its settings.
func answerOf(frames ...[]byte) []byte {
	return bytes.Join(append([][]byte{appendFrame(nil, frameSettings, 0, 0, nil)}, frames...), nil)
}

type discarding struct{ io.Reader }

func (discarding) Write(b []byte) (int, error) { return len(b), nil }

func TestGRPCAnswers(t *testing.T) {
	data := func(flags byte, b ...byte) []byte { return appendFrame(nil, frameData, flags, 1, b) }
	headers := appendFrame(nil, frameHeaders, flagEndHeaders, 1, []byte{0x88})
	trailers := appendFrame(nil, frameHeaders, flagEndHeaders|flagEndStream, 1, []byte{0x88})
	for name, one := range map[string]struct {
		answer []byte
		status uint64
		err    string
	}{
		"serving":          {answerOf(headers, data(0, 0, 0, 0, 0, 2, 8, 1), trailers), 1, ""},
		"at the end":       {answerOf(headers, data(flagEndStream, 0, 0, 0, 0, 2, 8, 1)), 1, ""},
		"padded":           {answerOf(headers, data(flagPadded, 2, 0, 0, 0, 0, 2, 8, 1, 9, 9), trailers), 1, ""},
		"other fields":     {answerOf(data(flagEndStream, 0, 0, 0, 0, 19, 0x12, 1, 'x', 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x25, 1, 2, 3, 4, 8, 1)), 1, ""},
		"unknown":          {answerOf(data(flagEndStream, 0, 0, 0, 0, 0)), 0, ""},
		"no message":       {answerOf(trailers), 0, "no message"},
		"compressed":       {answerOf(data(flagEndStream, 1, 0, 0, 0, 2, 8, 1)), 0, "no HealthCheckResponse"},
		"short":            {answerOf(data(flagEndStream, 0, 0, 0, 0, 3, 8, 1)), 0, "no HealthCheckResponse"},
		"reset":            {answerOf(appendFrame(nil, frameReset, 0, 1, []byte{0, 0, 0, 8})), 0, "error 8"},
		"go away":          {answerOf(appendFrame(nil, frameGoAway, 0, 0, []byte{0, 0, 0, 0, 0, 0, 0, 11})), 0, "error 11"},
		"padding too long": {answerOf(data(flagPadded|flagEndStream, 5, 1)), 0, "not HTTP/2"},
		"another stream":   {answerOf(appendFrame(nil, frameData, flagEndStream, 3, []byte{1}), data(flagEndStream, 0, 0, 0, 0, 2, 8, 1)), 1, ""},
		"too much":         {answerOf(data(0, make([]byte, maxGRPCMessage+1)...)), 0, "no HealthCheckResponse"},
	} {
		status, err := readGRPC(discarding{bytes.NewReader(one.answer)})
		if status != one.status || (err == nil) != (one.err == "") || err != nil && !strings.Contains(err.Error(), one.err) {
			t.Errorf("%s: %d, %v; want %d, %q", name, status, err, one.status, one.err)
		}
	}
}

func FuzzReadGRPC(f *testing.F) {
	f.Add(answerOf(appendFrame(nil, framePing, 0, 0, make([]byte, 8)), appendFrame(nil, frameData, flagPadded|flagEndStream, 1, []byte{1, 0, 0, 0, 0, 2, 8, 1, 0})))
	f.Add([]byte("HTTP/1.1 200 OK\r\n"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		if status, err := readGRPC(discarding{bytes.NewReader(answer)}); err != nil && status != 0 {
			t.Errorf("%d and %v", status, err)
		}
	})
}
