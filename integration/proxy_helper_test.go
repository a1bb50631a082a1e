package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/testkit"
)

// proxyProcess is a `peapod proxy` that runs.
type proxyProcess struct{ *running }

// startProxy runs the binary until the test ends.
func startProxy(t testing.TB, args ...string) *proxyProcess {
	t.Helper()
	return &proxyProcess{begin(t, exec.Command(binary, append([]string{"proxy"}, args...)...))}
}

// line waits for a line that has text in it, and forgets all up to its end.
func (p *proxyProcess) line(text string) string {
	p.t.Helper()
	p.output.SetReadDeadline(time.Now().Add(testkit.Patience))
	for b := make([]byte, 4096); ; {
		all := p.seen.String()
		if i := strings.Index(all, text); i >= 0 {
			if end := strings.IndexByte(all[i:], '\n'); end >= 0 {
				p.seen.Next(i + end + 1)
				return all[strings.LastIndexByte(all[:i], '\n')+1 : i+end]
			}
		}
		n, err := p.output.Read(b)
		p.seen.Write(b[:n])
		if err != nil {
			p.t.Fatalf("%v: no %q but %q: %v", p.cmd.Args, text, p.seen.String(), err)
		}
	}
}

// address waits until it tells where it listens, and returns that.
func (p *proxyProcess) address() string {
	p.t.Helper()
	line := p.line(" listens at ")
	return line[strings.LastIndexByte(line, ' ')+1:]
}

// metrics waits until it tells where they are, and returns that.
func (p *proxyProcess) metrics() string {
	p.t.Helper()
	line := p.line("metrics are at http://")
	_, addr, _ := strings.Cut(line, "http://")
	return strings.TrimSuffix(addr, "/metrics")
}

func (p *proxyProcess) signal(sig unix.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

// wantsExit waits for its end.
func (p *proxyProcess) wantsExit(code int) {
	p.t.Helper()
	if got := p.status(); got != code {
		p.t.Fatalf("%v: exit status %d, want %d; it wrote %q", p.cmd.Args, got, code, p.seen.String())
	}
}

// greeter is a backend that greets each connection with its name, and then
// sends back what it gets.
func greeter(t testing.TB, l net.Listener, name string) string {
	t.Helper()
	var conns sync.WaitGroup
	ctx, end := context.WithCancel(context.Background())
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer c.Close()
				defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })()
				io.WriteString(c, name+"\n")
				io.Copy(c, c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		end()
		conns.Wait()
	})
	return l.Addr().String()
}

func localListener(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// visit connects to addr, sends text, ends its direction, and returns who
// greeted. It checks that the text came back.
func visit(addr, text string) (string, error) {
	c, err := net.DialTimeout("tcp", addr, testkit.Patience)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(testkit.Patience))
	if _, err := io.WriteString(c, text); err != nil {
		return "", err
	}
	// Of a connection that was reset meanwhile the read tells.
	if err := c.(*net.TCPConn).CloseWrite(); err != nil && !errors.Is(err, unix.ENOTCONN) {
		return "", err
	}
	all, err := io.ReadAll(c)
	if err != nil {
		return "", err
	}
	name, rest, _ := strings.Cut(string(all), "\n")
	if rest != text {
		return "", fmt.Errorf("sent %q, got %q", text, rest)
	}
	return name, nil
}

// wantsGreeting visits addr.
func wantsGreeting(t testing.TB, addr, name string) {
	t.Helper()
	got, err := visit(addr, "hello")
	if err != nil || got != name {
		t.Fatalf("%s: greeted by %q, %v; want %q", addr, got, err, name)
	}
}

// writeConfig replaces the file for --config by rename.
func writeConfig(t testing.TB, path, text string) string {
	t.Helper()
	if path == "" {
		path = filepath.Join(t.TempDir(), "proxy.yaml")
	}
	if err := os.WriteFile(path+".part", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".part", path); err != nil {
		t.Fatal(err)
	}
	return path
}
