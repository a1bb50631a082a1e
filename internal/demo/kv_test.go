package demo

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// talk sends in and returns all that comes back until the server closes.
func talk(t *testing.T, addr, in string) string {
	t.Helper()
	c := dial(t, addr)
	if _, err := io.WriteString(c, in); err != nil {
		t.Fatal(err)
	}
	c.(*net.TCPConn).CloseWrite()
	out, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestKV(t *testing.T) {
	addr, _ := start(t, newKV())
	tests := []struct{ in, want string }{
		{"PING\r\n", "+PONG\r\n"},
		{"ping hello\r\n", "$5\r\nhello\r\n"},
		{"GET none\r\n", "$-1\r\n"},
		{"SET a 1\r\nGET a\r\nINCR a\r\nGET a\r\n", "+OK\r\n$1\r\n1\r\n:2\r\n$1\r\n2\r\n"},
		{"INCR new\r\nINCR new\r\n", ":1\r\n:2\r\n"},
		{"*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$0\r\n\r\nGET b\r\n", "+OK\r\n$0\r\n\r\n"},
		{"INCR b\r\n", "-ERR value is not an integer or out of range\r\n"},
		{fmt.Sprintf("SET m %d\r\nINCR m\r\n", math.MaxInt64), "+OK\r\n-ERR increment or decrement would overflow\r\n"},
		{"EXISTS a b none\r\n", ":2\r\n"},
		{"KEYS [ab]\r\n", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"},
		{"DEL a none b m new\r\nKEYS *\r\n", ":4\r\n*0\r\n"},
		{"GET\r\n", "-ERR wrong number of arguments for 'get' command\r\n"},
		{"SET a b EX 1\r\n", "-ERR wrong number of arguments for 'set' command\r\n"},
		{"FLUSHALL\r\n", "-ERR unknown command \"FLUSHALL\"\r\n"},
		{"QUIT\r\nPING\r\n", "+OK\r\n"},
		{"*x\r\nPING\r\n", "-ERR Protocol error: invalid multibulk length\r\n"},
		{"\r\n\r\nPING\r\n", "+PONG\r\n"},
		{strings.Repeat("PING\r\n", 5000), strings.Repeat("+PONG\r\n", 5000)},
	}
	for _, tt := range tests {
		if got := talk(t, addr, tt.in); got != tt.want {
			t.Errorf("%.60q: %.200q, want %.200q", tt.in, got, tt.want)
		}
	}
}

func TestKVClient(t *testing.T) {
	addr, stop := start(t, newKV())
	value := strings.Repeat("x\r\n", maxValue/3)
	if _, err := kvDo(t.Context(), addr, "SET", "k", value); err != nil {
		t.Fatal(err)
	}
	if got, err := kvDo(t.Context(), addr, "GET", "k"); string(got) != value || err != nil {
		t.Errorf("GET: %d bytes, %v", len(got), err)
	}
	if got, err := kvDo(t.Context(), addr, "GET", "none"); got != nil || err != nil {
		t.Errorf("GET of no key: %q, %v", got, err)
	}
	if _, err := kvDo(t.Context(), addr, "SET", "k"); err == nil || err.Error() != "SET at "+addr+": ERR wrong number of arguments for 'set' command" {
		t.Errorf("bad SET: %v", err)
	}
	stop()
	if _, err := kvDo(t.Context(), addr, "PING"); err == nil {
		t.Error("PING of a server that is gone works")
	}
}

// A client that is idle, one in the middle of a command and one that does not
// read its replies do not keep the server from stopping.
func TestKVStops(t *testing.T) {
	addr, stop := start(t, newKV())
	for _, in := range []string{"", "PING\r\n", "*2\r\n$3\r\nGET\r\n"} {
		c := dial(t, addr)
		io.WriteString(c, in)
	}
	deaf := dial(t, addr)
	deaf.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	io.WriteString(deaf, "SET big "+strings.Repeat("x", 3000)+"\r\n")
	for range 20_000 {
		if _, err := io.WriteString(deaf, "GET big\r\n"); err != nil {
			break
		}
	}
	begin := time.Now()
	stop()
	if d := time.Since(begin); d > 3*time.Second {
		t.Errorf("stopping took %v", d)
	}
}

func TestKVRefusesTooManyClients(t *testing.T) {
	addr, _ := start(t, newKV())
	for range maxClients {
		c := dial(t, addr)
		io.WriteString(c, "PING\r\n")
		if line, err := bufio.NewReader(c).ReadString('\n'); line != "+PONG\r\n" {
			t.Fatalf("%q, %v", line, err)
		}
	}
	line, err := bufio.NewReader(dial(t, addr)).ReadString('\n')
	if want := "-ERR max number of clients reached\r\n"; line != want {
		t.Errorf("%q, %v, want %q", line, err, want)
	}
}

func TestStoreIsBounded(t *testing.T) {
	var s store
	if err := s.set(strings.Repeat("k", maxKey+1), nil); err != errKey {
		t.Errorf("long key: %v", err)
	}
	for i := range maxKeys {
		if err := s.set(fmt.Sprint(i), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.set("one more", nil); err != errFull {
		t.Errorf("key above the limit: %v", err)
	}
	if err := s.set("1", []byte("again")); err != nil {
		t.Errorf("key that is there: %v", err)
	}
	for i := range maxKeys {
		s.del(fmt.Sprint(i))
	}
	if s.size != 0 || len(s.items) != 0 {
		t.Errorf("%d bytes, %d keys after all were deleted", s.size, len(s.items))
	}
	if err := s.set("big", make([]byte, maxStore)); err != errFull {
		t.Errorf("value above the limit: %v", err)
	}
	if got := s.keys("*"); len(got) != 0 {
		t.Errorf("keys %q after a refused set", got)
	}
}

func TestMatch(t *testing.T) {
	tests := []struct {
		pattern string
		yes, no []string
	}{
		{"", []string{""}, []string{"a"}},
		{"*", []string{"", "a/b", "abc"}, nil},
		{"a*c", []string{"ac", "abc", "abcc"}, []string{"a", "abd", "xac"}},
		{"*a*b", []string{"ab", "xaxab"}, []string{"ba", "abx"}},
		{"a?", []string{"ab"}, []string{"a", "abc"}},
		{"[a-c]x", []string{"ax", "cx"}, []string{"dx", "x"}},
		{"[^a-c]x", []string{"dx"}, []string{"ax", "x"}},
		{"[c-a]", []string{"b"}, []string{"d"}},
		{`[\]]`, []string{"]"}, []string{`\`}},
		{"[ab", []string{"a", "b"}, []string{"c", "["}},
		{"[", nil, []string{"a", "["}},
		{`\*`, []string{"*"}, []string{"a"}},
		{`a\`, []string{`a\`}, []string{"a"}},
	}
	for _, tt := range tests {
		for _, s := range slices.Concat(tt.yes, tt.no) {
			if want := slices.Contains(tt.yes, s); match(tt.pattern, s) != want {
				t.Errorf("match(%q, %q) is not %v", tt.pattern, s, want)
			}
		}
	}
	begin := time.Now()
	match(strings.Repeat("*a", 500)+"b", strings.Repeat("a", 1000))
	if d := time.Since(begin); d > time.Second {
		t.Errorf("a pattern of many stars took %v", d)
	}
}
