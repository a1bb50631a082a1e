package pod

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The thresholds count what comes in a row; what could not be asked counts for
// nothing.
func TestProbeThresholds(t *testing.T) {
	for _, tt := range []struct {
		success, failure int
		answers          string // y, n, or e: an error
		want             string // what was told at which answer; a ! ends it
	}{
		{1, 3, "yynnny", "y1 y2 n5 y6"},
		{1, 3, "nnynnn", "y3 n6"},
		{1, 1, "nyn", "n1 y2 n3"},
		{2, 1, "yynyy", "y2 n3 y5"},
		{1, 2, "nenyy", "n3 y4 y5"},
		{3, 3, "yyeyn", "y4"},
		{1, 2, "nn!n", "n2"},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			p := &Probe{InitialDelaySeconds: 5, PeriodSeconds: 10, SuccessThreshold: tt.success, FailureThreshold: tt.failure}
			begin, i := time.Now(), 0
			var got []string
			ask := func() (outcome, error) {
				if want := time.Duration(5+10*i) * time.Second; time.Since(begin) != want {
					t.Errorf("answer %d after %v, want %v", i, time.Since(begin), want)
				}
				time.Sleep(time.Second) // it counts from the beginning
				c := tt.answers[i]
				if i++; i == len(tt.answers) {
					defer func() { go func() { time.Sleep(time.Second); cancel() }() }()
				}
				if c == 'e' {
					return outcome{}, errors.New("not asked")
				}
				return outcome{ok: c == 'y'}, nil
			}
			p.repeat(ctx, begin, ask, func(o outcome) bool {
				got = append(got, fmt.Sprintf("%c%d", map[bool]rune{true: 'y', false: 'n'}[o.ok], i))
				return i >= len(tt.answers) || tt.answers[i] != '!'
			})
			if strings.Join(got, " ") != tt.want {
				t.Errorf("%d %d %s: %q, want %q", tt.success, tt.failure, tt.answers, got, tt.want)
			}
		})
	}
}

// A question that takes longer than the period is followed by the next at once,
// and an end cuts the pause short.
func TestProbePeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := &Probe{PeriodSeconds: 2, SuccessThreshold: 1, FailureThreshold: 1}
		begin := time.Now()
		var at []time.Duration
		go func() { time.Sleep(9 * time.Second); cancel() }()
		p.repeat(ctx, begin, func() (outcome, error) {
			at = append(at, time.Since(begin))
			if len(at) == 1 {
				time.Sleep(3 * time.Second)
			}
			return outcome{ok: true}, nil
		}, func(outcome) bool { return true })
		if want := []time.Duration{0, 3 * time.Second, 5 * time.Second, 7 * time.Second}; !slices.Equal(at[:4], want) {
			t.Errorf("asked at %v, want %v", at, want)
		}
		if took := time.Since(begin); took != 9*time.Second {
			t.Errorf("it ended after %v", took)
		}
	})
}

func TestProbeRequest(t *testing.T) {
	to := netip.MustParseAddrPort("127.0.0.1:8080")
	for _, tt := range []struct {
		action HTTPGetAction
		want   string
	}{
		{HTTPGetAction{Path: "/"}, "GET / HTTP/1.1|Host: 127.0.0.1:8080|User-Agent: peapod-probe|Accept: */*|Connection: close||"},
		{HTTPGetAction{Path: "health?x=1#y"}, "GET /health?x=1 HTTP/1.1|Host: 127.0.0.1:8080|User-Agent: peapod-probe|Accept: */*|Connection: close||"},
		{HTTPGetAction{Path: "/é"}, "GET /%C3%A9 HTTP/1.1|Host: 127.0.0.1:8080|User-Agent: peapod-probe|Accept: */*|Connection: close||"},
		{HTTPGetAction{Path: "/", HTTPHeaders: []HTTPHeader{{"host", "shop"}, {"X-A", "1"}, {"X-A", "2"}, {"USER-AGENT", ""}, {"Accept", "text/plain"}, {"Connection", "keep-alive"}}},
			"GET / HTTP/1.1|Host: shop|User-Agent: |Accept: text/plain|Connection: close|X-A: 1|X-A: 2||"},
	} {
		if got := strings.ReplaceAll(string(tt.action.request(to)), "\r\n", "|"); got != tt.want {
			t.Errorf("%+v\n got %s\nwant %s", tt.action, got, tt.want)
		}
	}
}

// answering listens and answers one connection after it has read what comes.
func answering(t *testing.T, f func(c net.Conn)) net.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		if c, err := l.Accept(); err == nil {
			defer c.Close()
			f(c)
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestProbeAnswers(t *testing.T) {
	for _, tt := range []struct{ answer, want string }{
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "200"},
		{"HTTP/1.0 204\r\n\r\n", "204"},
		{"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", "302"},
		{"HTTP/1.1 503 Busy\n\n", "503"},
		{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 404 No\r\n\r\n", "404"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 100_000), "200"},
		{"HTTP/1.1 200 OK\r\n", "the connection was closed before the answer was complete"},
		{"HTTP/1.1 20", "the answer's header is longer than 16384 bytes, or was cut off"},
		{"", "the connection was closed before the answer was complete"},
		{"SSH-2.0-OpenSSH\r\n\r\n", `the answer is not HTTP/1: it begins with "SSH-2.0-OpenSSH"`},
		{"HTTP/2 200\r\n\r\n", `the answer is not HTTP/1: it begins with "HTTP/2 200"`},
		{"HTTP/1.1 2000 OK\r\n\r\n", `the answer is not HTTP/1: it begins with "HTTP/1.1 2000 OK"`},
		{"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 20_000) + "\r\n\r\n", "the answer's header is longer than 16384 bytes, or was cut off"},
	} {
		c := answering(t, func(c net.Conn) {
			var b [4096]byte
			c.Read(b[:])
			c.Write([]byte(tt.answer))
		})
		status, err := (&HTTPGetAction{Path: "/"}).exchange(t.Context(), c, netip.AddrPort{})
		got := fmt.Sprint(status)
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%.60q: %s, want %s", tt.answer, got, tt.want)
		}
	}
}

// A server that says nothing, or does not close, holds a probe up no longer than
// its time.
func TestProbeAnswerTimeout(t *testing.T) {
	for _, tt := range []struct{ answer, want string }{{"", "no answer within 1s"}, {"HTTP/1.1 200 OK\r\nX: y", "no answer within 1s"}, {"HTTP/1.1 200 OK\r\n\r\n", "<nil>"}} {
		over := make(chan struct{})
		c := answering(t, func(c net.Conn) {
			c.Write([]byte(tt.answer))
			<-over
		})
		ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("no answer within 1s"))
		begin := time.Now()
		_, err := (&HTTPGetAction{Path: "/"}).exchange(ctx, c, netip.AddrPort{})
		if err != nil {
			err = reason(ctx, err)
		}
		if took := time.Since(begin); fmt.Sprint(err) != tt.want || took > 5*time.Second {
			t.Errorf("%q: %v after %v", tt.answer, err, took)
		}
		cancel()
		close(over)
	}
}

// FuzzProbeAnswer looks for panics and for answers that are no status.
func FuzzProbeAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	f.Add([]byte("HTTP/1.0 404\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		here, there := net.Pipe()
		defer here.Close()
		go func() {
			there.Write(data)
			there.Close()
		}()
		if status, err := readAnswer(here); err == nil && (status < 200 || status > 999) {
			t.Errorf("status %d", status)
		}
	})
}
