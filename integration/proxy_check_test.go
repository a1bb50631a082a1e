package integration

import (
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
)

// backendSays is the part of /status that is about the only service's backends.
func backendSays(t testing.TB, metrics, address string) (state string, failed int, why string) {
	t.Helper()
	var status struct {
		Services []struct {
			Backends []struct {
				Address, State string
				Check          struct {
					Made, Failed int
					Error        string
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(fetch(t, "tcp", metrics, "/status")), &status); err != nil {
		t.Fatal(err)
	}
	for _, b := range status.Services[0].Backends {
		if b.Address == address {
			return b.State, b.Check.Failed, b.Check.Error
		}
	}
	t.Fatalf("no backend %s", address)
	return "", 0, ""
}

// Checks take a backend out before a client meets it, and back in.
func TestProxyCheck(t *testing.T) {
	good, bad := greeter(t, localListener(t), "good"), freeAddress(t)
	p := startProxy(t, "--listen", "127.0.0.1:0", "--backend", good, "--backend", bad, "--balance", "round-robin", "--metrics", "127.0.0.1:0",
		"--check", "tcp", "--check-interval", "20ms", "--rise", "2", "--fall", "2")
	addr, metrics := p.address(), p.metrics()
	testkit.Until(t, func() string {
		if state, failed, why := backendSays(t, metrics, bad); state != "down" || failed == 0 || !strings.Contains(why, "refused") {
			return fmt.Sprintf("%s is %s, %d checks failed, %q", bad, state, failed, why)
		}
		return ""
	})
	if got := visitors(t, addr, 10); got["good"] != 10 {
		t.Errorf("visits: %v", got)
	}
	labels := fmt.Sprintf(`{service="127.0.0.1:0",backend="%s"`, bad)
	if n := metric(t, metrics, "peapod_proxy_backend_connections_total"+labels+"}"); n != "0" {
		t.Errorf("it was chosen %s times", n)
	}
	if n := metric(t, metrics, "peapod_proxy_backend_state"+labels+`,state="down"}`); n != "1" {
		t.Errorf("the state down is %s", n)
	}
	l, err := net.Listen("tcp", bad)
	if err != nil {
		t.Fatal(err)
	}
	greeter(t, l, "late")
	testkit.Until(t, func() string {
		if state, _, _ := backendSays(t, metrics, bad); state != "ready" {
			return "it is " + state
		}
		return ""
	})
	if got := visitors(t, addr, 10); got["good"] != 5 || got["late"] != 5 {
		t.Errorf("visits of both: %v", got)
	}
}

// A backend stays in use although it fails, where none is to be set aside.
func TestProxyEjectNever(t *testing.T) {
	good, bad := greeter(t, localListener(t), "good"), freeAddress(t)
	p := startProxy(t, "--listen", "127.0.0.1:0", "--backend", good, "--backend", bad, "--balance", "round-robin", "--metrics", "127.0.0.1:0", "--eject-after", "0")
	addr, metrics := p.address(), p.metrics()
	if got := visitors(t, addr, 10); got["good"] != 10 {
		t.Errorf("visits: %v", got)
	}
	state, _, _ := backendSays(t, metrics, bad)
	n := metric(t, metrics, fmt.Sprintf(`peapod_proxy_backend_connections_failed_total{service="127.0.0.1:0",backend="%s"}`, bad))
	if failed, err := strconv.Atoi(n); state != "ready" || failed < 5 || err != nil {
		t.Errorf("it is %s and failed %s times, want 5 or more", state, n)
	}
}

// A backend sees the address of a client of this host, which takes no privilege.
func TestProxyTransparent(t *testing.T) {
	from := make(chan string, 1)
	l := localListener(t)
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			from <- c.RemoteAddr().(*net.TCPAddr).IP.String()
			c.Close()
		}
	}()
	p := startProxy(t, "--listen", "127.0.0.1:0", "--backend", l.Addr().String(), "--transparent")
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 3, 2, 1)}, Timeout: testkit.Patience}
	c, err := d.Dial("tcp", p.address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := <-from; got != "127.3.2.1" {
		t.Errorf("the backend sees %s", got)
	}
	// From other machines nothing would come back: it says so, and what to do.
	q := startProxy(t, "--listen", ":0", "--backend", l.Addr().String(), "--transparent")
	line := q.line("--transparent")
	if !strings.Contains(line, "do not come back") {
		t.Errorf("it says %q", line)
	}
	q.wantsExit(1)
}
