package integration

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/testkit"
	"github.com/peapod/peapod/namespaces"
)

func TestProxyForwards(t *testing.T) {
	p := startProxy(t, "--listen", "127.0.0.1:0", "--listen", "[::1]:0", "--backend", greeter(t, localListener(t), "one"))
	for range 2 {
		wantsGreeting(t, p.address(), "one")
	}
}

func TestProxyIntoNamespace(t *testing.T) {
	set, err := namespaces.Options{Loopback: true}.New(namespaces.Network)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	l, err := namespaces.Listen(t.Context(), set.File(namespaces.Network), netip.MustParseAddrPort("127.0.0.1:80"))
	if err != nil {
		t.Fatal(err)
	}
	greeter(t, l, "inside")
	path := strings.Replace(set.Path(namespaces.Network), "self", strconv.Itoa(os.Getpid()), 1)
	p := startProxy(t, "--listen", "127.0.0.1:0", "--backend", "127.0.0.1:80", "--netns", path)
	addr := p.address()
	for range 20 {
		wantsGreeting(t, addr, "inside")
	}
}

// Connections go on undisturbed, and none fails, while the settings change
// under load.
func TestProxyReload(t *testing.T) {
	backends := [2]string{greeter(t, localListener(t), "one"), greeter(t, localListener(t), "two")}
	addr, other := freeAddress(t), freeAddress(t)
	config := func(i int, more string) string {
		return fmt.Sprintf("services:\n- name: web\n  listen: [%q]\n  backends: [{address: %q}]\n%s", addr, backends[i], more)
	}
	file := writeConfig(t, "", config(0, ""))
	p := startProxy(t, "--config", file)
	p.address()
	wantsGreeting(t, addr, "one")

	old := dial(t, addr)
	wantsLine(t, old, "one")
	stop := make(chan struct{})
	var load sync.WaitGroup
	var mu sync.Mutex
	visits := map[string]int{}
	for range 4 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				name, err := visit(addr, "hello")
				if err != nil {
					t.Errorf("while the settings change: %v", err)
					return
				}
				mu.Lock()
				visits[name]++
				mu.Unlock()
			}
		})
	}
	for i := range 10 {
		// Another service comes and goes.
		more := fmt.Sprintf("- listen: [%q]\n  backends: [{address: %q}]\n", other, backends[0])
		if i%2 == 1 {
			more = ""
		}
		writeConfig(t, file, config((i+1)%2, more))
		p.signal(unix.SIGHUP)
		p.line("read again")
		wantsGreeting(t, addr, []string{"two", "one"}[i%2])
	}
	close(stop)
	load.Wait()
	if visits["one"] == 0 || visits["two"] == 0 {
		t.Errorf("visits: %v", visits)
	}
	// What was open before all that still works.
	io.WriteString(old, "still there\n")
	wantsLine(t, old, "still there")
}

func TestProxyReloadListeners(t *testing.T) {
	to := greeter(t, localListener(t), "one")
	one, two := freeAddress(t), freeAddress(t)
	config := func(listen ...string) string {
		return fmt.Sprintf("gracePeriod: 100ms\nservices:\n- {name: web, listen: [%s], backends: [{address: %q}]}\n", strings.Join(listen, ", "), to)
	}
	file := writeConfig(t, "", config(one))
	p := startProxy(t, "--config", file)
	p.address()
	open := dial(t, one)
	wantsLine(t, open, "one")

	writeConfig(t, file, config(two))
	p.signal(unix.SIGHUP)
	p.line("read again")
	wantsGreeting(t, two, "one")
	wantsRefused(t, one)
	// It was given its time to end.
	if _, err := open.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("a connection of the listener that went, after the grace period: %v", err)
	}
}

// A service that left the settings is waited for all the same.
func TestProxyReloadThenDrain(t *testing.T) {
	to := greeter(t, localListener(t), "one")
	one, two := freeAddress(t), freeAddress(t)
	config := func(listen string) string {
		return fmt.Sprintf("gracePeriod: 1h\nservices:\n- {listen: [%q], backends: [{address: %q}]}\n", listen, to)
	}
	file := writeConfig(t, "", config(one))
	p := startProxy(t, "--config", file)
	p.address()
	c := dial(t, one)
	wantsLine(t, c, "one")
	writeConfig(t, file, config(two))
	p.signal(unix.SIGHUP)
	p.line("read again")
	wantsRefused(t, one)
	p.signal(unix.SIGTERM)
	p.line("waiting for 1 connection")
	io.WriteString(c, "still there\n")
	wantsLine(t, c, "still there")
	c.Close()
	p.wantsExit(0)
}

// Settings with a mistake change nothing.
func TestProxyReloadMistake(t *testing.T) {
	to := greeter(t, localListener(t), "one")
	taken := localListener(t)
	defer taken.Close()
	one, two := freeAddress(t), freeAddress(t)
	good := fmt.Sprintf("services:\n- {listen: [%q], backends: [{address: %q}]}\n", one, to)
	file := writeConfig(t, "", good)
	p := startProxy(t, "--config", file)
	p.address()
	for text, want := range map[string]string{
		"service: []": `proxy.yaml:1:1: service: unknown field; did you mean services?`,
		strings.Replace(good, "listen", "lisen", 1):                                                             `services[0].lisen: unknown field; did you mean listen?`,
		good + "- {listen: [" + two + ", " + taken.Addr().String() + "], backends: [{address: 127.0.0.1:1}]}\n": `proxy.yaml:3:`,
	} {
		writeConfig(t, file, text)
		p.signal(unix.SIGHUP)
		if got := p.line("the old settings stay"); !strings.Contains(got, want) {
			t.Errorf("%s: %s; want %q", text, got, want)
		}
		wantsGreeting(t, one, "one")
		wantsRefused(t, two)
	}
}

func TestProxyDrain(t *testing.T) {
	p := startProxy(t, "--listen", "127.0.0.1:0", "--backend", greeter(t, localListener(t), "one"))
	addr := p.address()
	c := dial(t, addr)
	wantsLine(t, c, "one")
	p.signal(unix.SIGTERM)
	p.line("waiting for 1 connection")
	wantsRefused(t, addr)
	io.WriteString(c, "still there\n")
	wantsLine(t, c, "still there")
	c.Close()
	p.wantsExit(0)
}

func TestProxyDrainEnds(t *testing.T) {
	for name, hurry := range map[string]func(*proxyProcess){
		"after the grace period": func(*proxyProcess) {},
		"with the second signal": func(p *proxyProcess) { p.signal(unix.SIGINT) },
	} {
		grace := "100ms"
		if name == "with the second signal" {
			grace = "1h"
		}
		p := startProxy(t, "--listen", "127.0.0.1:0", "--backend", greeter(t, localListener(t), "one"), "--grace-period", grace)
		c := dial(t, p.address())
		wantsLine(t, c, "one")
		p.signal(unix.SIGINT)
		p.line("waiting for 1 connection")
		hurry(p)
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("%s: %v", name, err)
		}
		p.wantsExit(0)
	}
}

func TestProxyIdleTimeout(t *testing.T) {
	p := startProxy(t, "--listen", "127.0.0.1:0", "--backend", greeter(t, localListener(t), "one"), "--idle-timeout", "100ms")
	c := dial(t, p.address())
	wantsLine(t, c, "one")
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("an idle connection: %v", err)
	}
}

func TestProxyMaxConns(t *testing.T) {
	p := startProxy(t, "--listen", "127.0.0.1:0", "--backend", greeter(t, localListener(t), "one"), "--max-conns", "1")
	addr := p.address()
	first := dial(t, addr)
	wantsLine(t, first, "one")
	second := dial(t, addr)
	second.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if n, err := second.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Error("more than one at a time")
	}
	first.Close()
	second.SetReadDeadline(time.Now().Add(testkit.Patience))
	wantsLine(t, second, "one")
}

// A service manager is told, sd_notify(3).
func TestProxyNotifies(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.SetReadDeadline(time.Now().Add(testkit.Patience))
	file := writeConfig(t, "", "services: [{listen: ['127.0.0.1:0'], backends: [{address: '127.0.0.1:1'}]}]\n")
	cmd := exec.Command(binary, "proxy", "--config", file)
	cmd.Env = append(cmd.Environ(), "NOTIFY_SOCKET="+path)
	p := &proxyProcess{begin(t, cmd)}
	told := func(want string) {
		t.Helper()
		buf := make([]byte, 1000)
		n, err := l.Read(buf)
		if err != nil || !regexp.MustCompile("^"+want+"$").Match(buf[:n]) {
			t.Fatalf("told %q, %v; want %q", buf[:n], err, want)
		}
	}
	told("READY=1")
	p.signal(unix.SIGHUP)
	told("RELOADING=1\nMONOTONIC_USEC=[0-9]+")
	told("READY=1")
	p.signal(unix.SIGTERM)
	told("STOPPING=1")
	p.wantsExit(0)
}

func TestProxyMistakes(t *testing.T) {
	taken := localListener(t)
	defer taken.Close()
	for args, want := range map[string]string{
		"":                                                           "proxy: --listen is missing: give --listen ADDR and --backend ADDR, or --config FILE",
		"--listen :0":                                                "proxy: --backend is missing: give an address, such as --backend 127.0.0.1:80",
		"--listen web:0 --backend :1":                                `proxy: --listen: "web:0": "web" is not an IP address: write it as 127.0.0.1:80, [::1]:80 or :80`,
		"--listen :0 --backend :1":                                   `proxy: --backend: ":1": "" is not an IP address: write it as 10.0.0.2:80 or [::1]:80`,
		"--listen :0 --backend 1.2.3.4":                              `proxy: --backend: "1.2.3.4" is no address: write it as 10.0.0.2:80 or [::1]:80`,
		"--listen :0 --backend 1.2.3.4:080":                          `proxy: --backend: "1.2.3.4:080": the port "080" is not a number up to 65535`,
		"--listen :0 --backend 1.2.3.4:0":                            `proxy: --backend: "1.2.3.4:0": port 0 cannot be connected to`,
		"--listen :1 --listen :1 --backend 1.2.3.4:1":                `proxy: --listen: :1 is given twice`,
		"--listen :0 --backend 1.2.3.4:1,weight=0":                   `proxy: --backend: 0 is not a number from 1 to 65535`,
		"--listen :0 --backend 1.2.3.4:1,weight=x":                   `proxy: --backend: "1.2.3.4:1,weight=x": weight: "x" is not a number`,
		"--listen :0 --backend 1.2.3.4:1,wait=1":                     `proxy: --backend: "1.2.3.4:1,wait=1": behind the address there are weight=N and max-conns=N, not "wait=1"`,
		"--listen :0 --backend 1.2.3.4:1 --backend 1.2.3.4:1":        `proxy: --backend: 1.2.3.4:1 is given twice`,
		"--listen :0 --backend 1.2.3.4:1 --balance best":             `proxy: --balance: "best" is not known: there are random, round-robin, source-hash`,
		"--listen :0 --backend 1.2.3.4:1 --queue -1":                 `proxy: --queue: -1 is negative`,
		"--listen :0 --backend 1.2.3.4:1 --proxy-protocol-out 3":     `proxy: --proxy-protocol-out: 3 is no version of the PROXY protocol: there are 1 and 2`,
		"--listen :0 --backend 1.2.3.4:1 --idle-timeout 3":           `proxy: --idle-timeout: "3" is no duration: write it as 1m30s or 500ms`,
		"--listen :0 --backend 1.2.3.4:1 --grace-period -3s":         `proxy: --grace-period: -3s is negative`,
		"--listen :0 --backend 1.2.3.4:1 --max-conns -3":             `proxy: --max-conns: -3 is negative`,
		"--listen :0 --backend 1.2.3.4:1 --netns /etc/passwd":        `proxy: --netns: open /etc/passwd: not a namespace`,
		"--listen :0 --backend 1.2.3.4:1 --metrics unix:":            `proxy: --metrics: the path behind unix: is missing`,
		"--listen :0 --config x":                                     `proxy: --listen: the file of --config says all: give one of both`,
		"--config /nowhere":                                          `read the settings: open /nowhere: no such file or directory`,
		"x":                                                          `proxy takes no argument, got "x"`,
		"--listen " + taken.Addr().String() + " --backend 1.2.3.4:1": `address already in use`,
	} {
		peapod(t, append([]string{"proxy"}, strings.Fields(args)...)...).wants(1, want)
	}
}

// freeAddress returns one on which nobody listens, another one each time.
func freeAddress(t testing.TB) string {
	t.Helper()
	for {
		l := localListener(t)
		l.Close()
		if addr := l.Addr().String(); !givenAddresses[addr] {
			givenAddresses[addr] = true
			return addr
		}
	}
}

var givenAddresses = map[string]bool{}

func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, testkit.Patience)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(testkit.Patience))
	t.Cleanup(func() { c.Close() })
	return c
}

// wantsLine reads a line, and nothing behind it.
func wantsLine(t testing.TB, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want)+1)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want+"\n" {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

// wantsRefused waits until nobody listens on addr.
func wantsRefused(t testing.TB, addr string) {
	t.Helper()
	testkit.Eventually(t, addr+" is not listened on", func() bool {
		c, err := net.DialTimeout("tcp", addr, testkit.Patience)
		if err == nil {
			c.Close()
		}
		return errors.Is(err, unix.ECONNREFUSED)
	})
}
