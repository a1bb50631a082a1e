package main

import (
	"context"
	"encoding/json"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The tests' program plays the roles too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && roles[os.Args[1]] != nil {
		if err := roles[os.Args[1]](os.Args[2:]); err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestParseWrk(t *testing.T) {
	const good = `Running 4s test @ http://127.0.0.1:1/
  2 threads and 50 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.02ms    2.03ms  30.00ms   93.01%
    Req/Sec    30.10k     2.00k   40.00k    70.00%
  240123 requests in 4.10s, 9.01MB read
Requests/sec:  58566.58
Transfer/sec:      2.20MB
`
	if got, err := parseWrk(good); err != nil || got.rate != 58566.58 || got.requests != 240123 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{
		"", strings.Replace(good, "Requests/sec:", "  Socket errors: connect 0, read 3, write 0, timeout 0\nRequests/sec:", 1),
		strings.Replace(good, "240123", "0", 1), strings.Replace(good, "58566.58", "x", 1),
		strings.Replace(good, "Transfer", "  Non-2xx or 3xx responses: 7\nTransfer", 1),
	} {
		if got, err := parseWrk(bad); err == nil {
			t.Errorf("%+v from %q", got, bad)
		}
	}
}

func TestParseIperf(t *testing.T) {
	bits, seconds, err := parseIperf(`{"end":{"sum_sent":{"bits_per_second":9e9},"sum_received":{"seconds":4.0,"bits_per_second":8e9}}}`)
	if err != nil || bits != 8e9 || seconds != 4 {
		t.Errorf("%v, %v, %v", bits, seconds, err)
	}
	for _, bad := range []string{"", "{}", `{"error":"unable to connect","end":{}}`} {
		if _, _, err := parseIperf(bad); err == nil {
			t.Errorf("no error from %q", bad)
		}
	}
}

func TestVersionIn(t *testing.T) {
	for in, want := range map[string]string{
		"HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/\n": "2.6.12-1+deb12u4",
		"nginx version: nginx/1.22.1\n":                                        "1.22.1",
		"wrk debian/4.1.0-3+b2 [epoll] Copyright":                              "4.1.0-3+b2",
		"iperf 3.12 (cJSON 1.7.15)\n":                                          "3.12",
		"":                                                                     "of unknown version",
	} {
		if got := versionIn(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

// A server that stands still delays all requests that were due meanwhile, not
// only those that it had.
func TestLoadSeesStandstill(t *testing.T) {
	const still = 500 * time.Millisecond
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, 4096)
		for served := 0; ; served++ {
			if _, err := c.Read(buf); err != nil {
				return
			}
			if served == 500 {
				time.Sleep(still)
			}
			c.Write([]byte(response))
		}
	}()
	generator, err := newLoad(netip.MustParseAddrPort(l.Addr().String()), 1)
	if err != nil {
		t.Fatal(err)
	}
	generator.interval = time.Millisecond
	if err := generator.run(time.Second); err != nil {
		t.Fatal(err)
	}
	r := generator.result()
	if r.Requests < 990 || r.Unanswered != 0 || r.Max < still {
		t.Errorf("%+v", r)
	}
	// Half of the requests were due while it stood still, one was under way.
	late := 0
	for _, d := range generator.times {
		if d > still/10 {
			late++
		}
	}
	if late < 400 {
		t.Errorf("%d requests of %d were late", late, r.Requests)
	}
}

func TestLoadCountsUnanswered(t *testing.T) {
	l := &load{begin: time.Now().Add(-time.Second), conns: []*loadConn{{due: []time.Duration{0}}, {}}, times: []time.Duration{1}}
	if r := l.result(); r.Requests != 2 || r.Unanswered != 1 || r.P99 < time.Second || r.Max < time.Second {
		t.Errorf("%+v", r)
	}
}

func testBench(t *testing.T) *bench {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &bench{options: &options{conns: 2, idle: 50, turn: time.Second}, self: self, tmp: t.TempDir(), given: map[string]bool{},
		samples: map[string]map[string][]float64{}}
}

// The roles work with one another, and what is measured of a process is its.
func TestRoles(t *testing.T) {
	b := testBench(t)
	http, _ := b.freeAddress()
	front, _ := b.freeAddress()
	backend, err := b.start("backend", b.self, "-backend", http)
	if err != nil {
		t.Fatal(err)
	}
	defer backend.stop()
	relay, err := b.start("relay", b.self, "-relay", front, http)
	if err != nil {
		t.Fatal(err)
	}
	defer relay.stop()
	if err := relay.ready(front, http); err != nil {
		t.Fatal(err)
	}
	before, err := relay.cpu()
	if err != nil {
		t.Fatal(err)
	}
	out, err := output(t.Context(), b.self, "-load", front, "5000", "1", "4")
	var r loadResult
	if err != nil || json.Unmarshal([]byte(out), &r) != nil || r.Requests < 4990 || r.P50 == 0 || r.P99 < r.P50 || r.Max < r.P99 {
		t.Errorf("%q, %v", out, err)
	}
	if after, err := relay.cpu(); err != nil || after <= before {
		t.Errorf("processor time from %v to %v, %v", before, after, err)
	}
	empty, err := relay.memory()
	if err != nil {
		t.Fatal(err)
	}
	var c clients
	if err := c.open(front, 200); err != nil {
		t.Fatal(err)
	}
	full, err := relay.memory()
	c.close()
	if err != nil || full-empty < 200<<10 {
		t.Errorf("memory from %d to %d, %v", empty, full, err)
	}
	_, err = output(t.Context(), b.self, "-load", "127.0.0.1:1", "5000", "1", "4")
	if err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("nobody there: %v", err)
	}
}

func TestProcessTellsWhy(t *testing.T) {
	b := testBench(t)
	p, err := b.start("it", "/bin/sh", "-c", "echo why >&2; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.ready("127.0.0.1:1"); err == nil || err.Error() != "it ended: why" {
		t.Errorf("error %v", err)
	}
	p.stop()
}

// Children go too when they outlive the one that was started.
func TestProcessStopsChildren(t *testing.T) {
	b := testBench(t)
	file := filepath.Join(b.tmp, "pid")
	p, err := b.start("it", "/bin/sh", "-c", "sleep 1000 & echo $! > "+file+".part; mv "+file+".part "+file+"; wait")
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	for end := time.Now().Add(10 * time.Second); len(p.pids()) < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no child")
		}
	}
	fd, err := unix.PidfdOpen(p.pids()[1], 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	p.stop()
	polled := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if n, err := unix.Poll(polled, 10000); n != 1 || err != nil {
		t.Errorf("the child goes on: %d, %v", n, err)
	}
}

func TestTables(t *testing.T) {
	b := testBench(t)
	b.peers = b.allPeers()
	for i, p := range b.peers {
		b.sample(requests, p, float64(100+i))
		b.sample(latency, p, float64(100+i))
		b.sample(memory, p, 4096)
	}
	for _, table := range b.tables() {
		want := map[string]string{"Requests on connections that stay open": "nginx stream", "Time of a request: the 99th percentile": "HAProxy"}[table.Title]
		if want != "" && table.Base != want {
			t.Errorf("%s: ratios to %s, want %s", table.Title, table.Base, want)
		}
	}
	page := b.markdown(b.tables())
	for _, want := range []string{
		"| peapod | 100 /s | 100 /s to 100 /s | 1 | 0.97 | ≥ 1.10 | **not met** |\n",
		"| peapod, into a network namespace | 101 /s | 101 /s to 101 /s | 1 | 1.01 of peapod | ≥ 0.95 | met |\n",
		"| peapod | 4.00 KiB | 4.00 KiB to 4.00 KiB | 1 | 1.00 | ≤ 1.00 and ≤ 2.00 KiB | **not met** |\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q:\n%s", want, page)
		}
	}
}

// The peers' settings are what those programs take.
func TestSettings(t *testing.T) {
	b := testBench(t)
	pairs := [][2]string{{"127.0.0.1:1", "127.0.0.1:2"}, {"127.0.0.1:3", "127.0.0.1:4"}}
	for name, c := range map[string]struct {
		run   func(string, [][2]string) ([]string, error)
		check string
	}{
		"haproxy": {b.runHAProxy, "-c"},
		"nginx":   {b.runNginx, "-t"},
	} {
		args, err := c.run(t.TempDir(), pairs)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("CI") != "" {
				t.Error(err)
			}
			t.Logf("not tried: %v", err)
			continue
		}
		if out, err := output(context.Background(), args[0], append([]string{c.check}, args[1:]...)...); err != nil {
			t.Errorf("%v %s", err, out)
		}
	}
}
