package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/testkit"
)

func TestProxyMetrics(t *testing.T) {
	p := startProxy(t, "--listen", "127.0.0.1:0", "--backend", greeter(t, localListener(t), "one"), "--metrics", "127.0.0.1:0")
	addr := p.address()
	metrics := p.metrics()
	for range 3 {
		wantsGreeting(t, addr, "one") // 5 bytes there, 4 and 5 back
	}
	open := dial(t, addr)
	wantsLine(t, open, "one")

	testkit.Eventually(t, "three are gone", func() bool { return metric(t, metrics, ofProxy("peapod_proxy_connections_active")) == "1" })
	for name, want := range map[string]string{
		ofProxy("peapod_proxy_connections_total"):        "4",
		ofProxy("peapod_proxy_connections_failed_total"): "0",
		ofProxy("peapod_proxy_received_bytes_total"):     "15",
		ofProxy("peapod_proxy_sent_bytes_total"):         "27",
	} {
		if got := metric(t, metrics, name); got != want {
			t.Errorf("%s %s, want %s", name, got, want)
		}
	}
	var status struct {
		Services []struct {
			Listen      []string
			Connections struct{ Accepted, Active, Failed int }
		}
	}
	if err := json.Unmarshal([]byte(fetch(t, "tcp", metrics, "/status")), &status); err != nil {
		t.Fatal(err)
	}
	if s := status.Services; len(s) != 1 || s[0].Listen[0] != addr || s[0].Connections.Accepted != 4 || s[0].Connections.Active != 1 {
		t.Errorf("status: %+v", status)
	}
	if got := fetch(t, "tcp", metrics, "/nope"); !strings.Contains(got, "/metrics and /status") {
		t.Errorf("another path: %s", got)
	}
}

// A socket that a killed proxy left is in nobody's way.
func TestProxyMetricsUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics")
	args := []string{"--listen", "127.0.0.1:0", "--backend", "127.0.0.1:1", "--metrics", "unix:" + path}
	for range 2 {
		p := startProxy(t, args...)
		p.line("metrics are at unix:" + path)
		if got := fetch(t, "unix", path, "/status"); !strings.Contains(got, `"accepted":0`) {
			t.Errorf("status: %s", got)
		}
		peapod(t, append([]string{"proxy"}, args...)...).wants(1, "proxy: --metrics: listen unix "+path+": bind: address already in use")
		p.signal(unix.SIGKILL)
		p.wantsExit(-1)
	}
}

func TestProxyFailedIsCounted(t *testing.T) {
	p := startProxy(t, "--listen", "127.0.0.1:0", "--backend", freeAddress(t), "--metrics", "127.0.0.1:0")
	addr, metrics := p.address(), p.metrics()
	if _, err := visit(addr, "x"); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("nobody behind it: %v", err)
	}
	testkit.Eventually(t, "the failure is counted", func() bool { return metric(t, metrics, ofProxy("peapod_proxy_connections_failed_total")) == "1" })
}

// fetch returns the body of what a path of the metrics' server shows.
func fetch(t testing.TB, network, addr, path string) string {
	t.Helper()
	c, err := net.DialTimeout(network, addr, testkit.Patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(testkit.Patience))
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
	all, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(all), "\r\n\r\n")
	return body
}

// ofProxy is a metric of the service that startProxy's options make, if it
// listens on port 0.
func ofProxy(name string) string { return name + `{service="127.0.0.1:0"}` }

// metric is the value of one sample.
func metric(t testing.TB, addr, name string) string {
	t.Helper()
	for line := range strings.Lines(fetch(t, "tcp", addr, "/metrics")) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("there is no metric %s", name)
	return ""
}
