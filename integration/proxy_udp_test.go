package integration

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/testkit"
)

// answerer answers each datagram with its name and what it was.
func answerer(t *testing.T, name string) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		for b := make([]byte, 1500); ; {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			c.WriteTo([]byte(name+" "+string(b[:n])), from)
		}
	}()
	return c.LocalAddr().String()
}

func datagrams(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("udp", strings.TrimPrefix(addr, "udp://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(testkit.Patience))
	return c
}

// ask sends a datagram and returns the answer.
func ask(t *testing.T, c net.Conn, text string) string {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1500)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

// Datagrams of a client go to one backend, those of several to all; TCP at the same
// addresses goes beside it.
func TestProxyUDP(t *testing.T) {
	one, two := answerer(t, "one"), answerer(t, "two")
	p := startProxy(t, "--listen", "udp://127.0.0.1:0", "--listen", "udp://[::1]:0", "--backend", one, "--backend", two, "--balance", "round-robin", "--idle-timeout", "3s", "--metrics", "127.0.0.1:0")
	addr, addr6 := p.address(), p.address()
	metrics := p.metrics()
	if !strings.HasPrefix(addr, "udp://127.0.0.1:") || !strings.HasPrefix(addr6, "udp://[::1]:") {
		t.Fatalf("it listens at %s and %s", addr, addr6)
	}
	seen := map[string]int{}
	for i := range 10 {
		c := datagrams(t, []string{addr, addr6}[i%2])
		first := ask(t, c, "a")
		if second := ask(t, c, "a"); second != first {
			t.Errorf("a client talks to %q, then to %q", first, second)
		}
		seen[first]++
	}
	if seen["one a"] != 5 || seen["two a"] != 5 {
		t.Errorf("%v", seen)
	}
	testkit.Eventually(t, "flows end when they are idle", func() bool {
		return metric(t, metrics, `peapod_proxy_udp_flows_idle_total{service="udp://127.0.0.1:0"}`) == "10"
	})
	for name, want := range map[string]string{"flows_total": "10", "flows_active": "0", "received_datagrams_total": "20", "sent_datagrams_total": "20", "received_bytes_total": "20", "sent_bytes_total": "100", "dropped_datagrams_total": "0"} {
		if got := metric(t, metrics, "peapod_proxy_udp_"+name+`{service="udp://127.0.0.1:0"}`); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	p.signal(unix.SIGTERM)
	p.wantsExit(0)
}

// A flow goes on while the settings change, with the backend that it has as long as
// that is there.
func TestProxyUDPReload(t *testing.T) {
	one, two := answerer(t, "one"), answerer(t, "two")
	port := strings.TrimPrefix(freeAddress(t), "127.0.0.1:")
	config := func(backends ...string) string {
		var list []string
		for _, b := range backends {
			list = append(list, fmt.Sprintf("{address: %q}", b))
		}
		return fmt.Sprintf("gracePeriod: 100ms\nservices:\n- name: ask\n  listen: ['udp://127.0.0.1:%s', '127.0.0.1:%[1]s']\n  backends: [%s]\n", port, strings.Join(list, ", "))
	}
	file := writeConfig(t, "", config(one))
	p := startProxy(t, "--config", file)
	addr := p.address()
	c := datagrams(t, addr)
	for _, step := range []struct {
		backends []string
		want     string
	}{{[]string{one}, "one x"}, {[]string{one, two}, "one x"}, {[]string{two}, "two x"}} {
		writeConfig(t, file, config(step.backends...))
		p.signal(unix.SIGHUP)
		p.line("read again")
		if got := ask(t, c, "x"); got != step.want {
			t.Errorf("with %v: %q, want %q", step.backends, got, step.want)
		}
	}
	p.signal(unix.SIGTERM)
	p.line("waiting for 1 connection")
	p.wantsExit(0)
}

func TestProxyUDPRefusals(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--transparent"}, "--transparent: there is no such thing for UDP"},
		{[]string{"--proxy-protocol-out", "2"}, "--proxy-protocol-out: there is no such thing for UDP"},
		{[]string{"--queue", "3"}, "--queue: there is no such thing for UDP"},
		{[]string{"--listen", "sctp://:1"}, "sctp://:1"},
	} {
		args := append([]string{"proxy", "--listen", "udp://127.0.0.1:0", "--backend", "127.0.0.1:9"}, test.args...)
		peapod(t, args...).wants(1, test.want)
	}
}
