package integration

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/testkit"
	"github.com/peapod/peapod/namespaces"
)

// visitors counts who greets n visitors, one after the other.
func visitors(t testing.TB, addr string, n int) map[string]int {
	t.Helper()
	got := map[string]int{}
	for range n {
		name, err := visit(addr, "hello")
		if err != nil {
			t.Fatal(err)
		}
		got[name]++
	}
	return got
}

func TestProxyBalance(t *testing.T) {
	one, two := greeter(t, localListener(t), "one"), greeter(t, localListener(t), "two")
	p := startProxy(t, "--listen", "127.0.0.1:0", "--backend", one, "--backend", two+",weight=3", "--balance", "round-robin")
	if got := visitors(t, p.address(), 40); got["one"] != 10 || got["two"] != 30 {
		t.Errorf("by weights 1 and 3: %v", got)
	}
	p = startProxy(t, "--listen", "127.0.0.1:0", "--backend", one, "--backend", two)
	if got := visitors(t, p.address(), 60); got["one"] < 10 || got["two"] < 10 {
		t.Errorf("at random: %v", got)
	}
	for _, args := range [][]string{{"--balance", "source-hash"}, {"--affinity", "1h"}} {
		p = startProxy(t, append(args, "--listen", "127.0.0.1:0", "--backend", one, "--backend", two)...)
		if got := visitors(t, p.address(), 20); len(got) != 1 {
			t.Errorf("%v: one client comes to %v", args, got)
		}
	}
}

// Backends of one service in several network namespaces, at the same address.
func TestProxyIntoNamespaces(t *testing.T) {
	var backends []string
	for _, name := range []string{"one", "two"} {
		set, err := namespaces.Options{Loopback: true}.New(namespaces.Network)
		if err != nil {
			t.Fatal(err)
		}
		defer set.Close()
		l, err := namespaces.Listen(t.Context(), set.File(namespaces.Network), netip.MustParseAddrPort("127.0.0.1:80"))
		if err != nil {
			t.Fatal(err)
		}
		greeter(t, l, name)
		path := strings.Replace(set.Path(namespaces.Network), "self", strconv.Itoa(os.Getpid()), 1)
		backends = append(backends, fmt.Sprintf("- {address: '127.0.0.1:80', netns: %s}", path))
	}
	file := writeConfig(t, "", "services:\n- listen: ['127.0.0.1:0']\n  balance: round-robin\n  backends:\n  "+strings.Join(backends, "\n  ")+"\n")
	p := startProxy(t, "--config", file)
	if got := visitors(t, p.address(), 10); got["one"] != 5 || got["two"] != 5 {
		t.Errorf("visits: %v", got)
	}
}

// Nobody notices a backend that cannot be reached, but the metrics.
func TestProxySetsAside(t *testing.T) {
	good, bad := greeter(t, localListener(t), "good"), freeAddress(t)
	p := startProxy(t, "--listen", "127.0.0.1:0", "--backend", good, "--backend", bad, "--balance", "round-robin", "--metrics", "127.0.0.1:0")
	addr, metrics := p.address(), p.metrics()
	if got := visitors(t, addr, 20); got["good"] != 20 {
		t.Errorf("visits: %v", got)
	}
	testkit.Eventually(t, "all are gone", func() bool { return metric(t, metrics, ofProxy("peapod_proxy_connections_active")) == "0" })
	of := func(backend string) string { return fmt.Sprintf("{service=%q,backend=%q", "127.0.0.1:0", backend) }
	for name, want := range map[string]string{
		ofProxy("peapod_proxy_connections_failed_total"):                         "0",
		"peapod_proxy_backend_connections_total" + of(good) + "}":                "20",
		"peapod_proxy_backend_connections_failed_total" + of(good) + "}":         "0",
		"peapod_proxy_backend_sent_bytes_total" + of(good) + "}":                 "100",
		"peapod_proxy_backend_received_bytes_total" + of(good) + "}":             "200",
		"peapod_proxy_backend_state" + of(good) + `,state="ready"}`:              "1",
		"peapod_proxy_backend_state" + of(bad) + `,state="ready"}`:               "0",
		"peapod_proxy_backend_state" + of(bad) + `,state="set aside"}`:           "1",
		"peapod_proxy_backend_connect_seconds_count" + of(good) + "}":            "20",
		"peapod_proxy_backend_connect_seconds_bucket" + of(good) + `,le="+Inf"}`: "20",
	} {
		if got := metric(t, metrics, name); got != want {
			t.Errorf("%s %s, want %s", name, got, want)
		}
	}
	var status struct {
		Services []struct {
			Backends []struct {
				Address, State      string
				Chosen, Failed      int
				ConnectMicroseconds struct{ Count, Median, P99, Max int }
			}
		}
	}
	if err := json.Unmarshal([]byte(fetch(t, "tcp", metrics, "/status")), &status); err != nil {
		t.Fatal(err)
	}
	for _, b := range status.Services[0].Backends {
		connect := b.ConnectMicroseconds
		switch {
		case b.Address == good && (b.State != "ready" || b.Chosen != 20 || connect.Count != 20 || connect.Median < 1 || connect.Max < connect.P99),
			b.Address == bad && (b.State != "set aside" || b.Failed < 1 || connect.Count != 0):
			t.Errorf("%+v", b)
		}
	}
}

func TestProxyQueue(t *testing.T) {
	to := greeter(t, localListener(t), "one")
	p := startProxy(t, "--listen", "127.0.0.1:0", "--backend", to+",max-conns=1", "--queue", "1", "--metrics", "127.0.0.1:0")
	addr, metrics := p.address(), p.metrics()
	first := dial(t, addr)
	wantsLine(t, first, "one")
	second := dial(t, addr)
	testkit.Eventually(t, "the second one waits", func() bool { return metric(t, metrics, `peapod_proxy_waiting{service="127.0.0.1:0"}`) == "1" })
	if _, err := visit(addr, ""); err == nil {
		t.Error("a third one was served")
	}
	first.Close()
	wantsLine(t, second, "one")
}

func TestProxyConnectRetry(t *testing.T) {
	to := freeAddress(t)
	p := startProxy(t, "--listen", "127.0.0.1:0", "--backend", to, "--connect-retry", "20s", "--metrics", "127.0.0.1:0")
	addr, metrics := p.address(), p.metrics()
	c := dial(t, addr)
	failed := fmt.Sprintf("peapod_proxy_backend_connections_failed_total{service=\"127.0.0.1:0\",backend=%q}", to)
	testkit.Eventually(t, "it was tried", func() bool { return metric(t, metrics, failed) != "0" })
	l, err := net.Listen("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	greeter(t, l, "late")
	wantsLine(t, c, "late")
}

// Connections of a backend that left go on, or not longer than they may.
func TestProxyReloadBackends(t *testing.T) {
	one, two := greeter(t, localListener(t), "one"), greeter(t, localListener(t), "two")
	for _, drain := range []string{"", "  drainTimeout: 100ms\n"} {
		config := func(to string) string {
			return fmt.Sprintf("metrics: '127.0.0.1:0'\nservices:\n- listen: ['127.0.0.1:0']\n  backends: [{address: %q}]\n%s", to, drain)
		}
		file := writeConfig(t, "", config(one))
		p := startProxy(t, "--config", file)
		addr := p.address()
		open := dial(t, addr)
		wantsLine(t, open, "one")
		writeConfig(t, file, config(two))
		p.signal(unix.SIGHUP)
		p.line("read again")
		wantsGreeting(t, addr, "two")
		open.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		_, err := open.Read(make([]byte, 1))
		if gone := err != nil && strings.Contains(err.Error(), "reset"); gone != (drain != "") {
			t.Errorf("drain %q: %v", drain, err)
		}
	}
}

func TestProxyReloadFixed(t *testing.T) {
	to := greeter(t, localListener(t), "one")
	config := fmt.Sprintf("services:\n- listen: ['127.0.0.1:0']\n  backends: [{address: %q}]\n", to)
	file := writeConfig(t, "", config)
	p := startProxy(t, "--config", file)
	p.address()
	for _, more := range []string{"balance: source-hash", "affinity: 1h", "slowStart: 1s", "queue: 7", "queueTimeout: 1s", "drainTimeout: 1s",
		"connectTimeout: 1s", "connectRetry: 1s", "idleTimeout: 1s", "maxConns: 7",
		"proxyProtocolIn: true"} {
		writeConfig(t, file, config+"  "+more+"\n")
		p.signal(unix.SIGHUP)
		field, _, _ := strings.Cut(more, ":")
		p.line("proxy.yaml:4:" + strconv.Itoa(len(field)+5) + ": services[0]." + field + ": it cannot change while the proxy runs: restart it")
	}
}
