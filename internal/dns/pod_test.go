package dns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/peapod/peapod/namespaces"
)

// lookupVariable makes this test's binary look up a name with Go's resolver.
const lookupVariable = "PEAPOD_DNS_TEST_LOOKUP"

func lookUp(name string) {
	list, err := (&net.Resolver{PreferGo: true}).LookupNetIP(context.Background(), "ip", name)
	for _, a := range list {
		fmt.Println(a.Unmap())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// podSpace is a network namespace with a server in it.
type podSpace struct {
	net    string // path of the namespace
	resolv string // path of its resolv.conf
	nss    string
}

func newPod(t *testing.T) podSpace {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: makes a network namespace and mounts")
	}
	f := upstream(t, func(q dnsmessage.Message, tcp bool) [][]byte {
		q.Additionals = nil
		switch name := q.Questions[0].Name.String(); {
		case strings.HasSuffix(name, "cluster.local."):
			t.Errorf("%s was forwarded", name)
		case q.Questions[0].Type != typeA:
			return [][]byte{says(q, noError)}
		case name == "target.example.com." || name == "www.example.com.":
			return [][]byte{says(q, noError, 1)}
		case name == "inner.corp.example.":
			return [][]byte{says(q, noError, 2)}
		case name == "long.example.com.":
			if !tcp {
				q.Truncated = true
				return [][]byte{says(q, noError)}
			}
			list := make([]byte, 100)
			for i := range list {
				list[i] = byte(i)
			}
			return [][]byte{says(q, noError, list...)}
		}
		return [][]byte{says(q, nxDomain)}
	})
	set, err := namespaces.Options{Loopback: true}.New(namespaces.Network)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { set.Close() })
	addr := netip.MustParseAddrPort("127.96.0.10:53")
	tcp, err := namespaces.Listen(t.Context(), set.File(namespaces.Network), addr)
	if err != nil {
		t.Fatal(err)
	}
	var udp *net.UDPConn
	if err := namespaces.Do(set.File(namespaces.Network), func() error {
		udp, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	z := zone()
	z.services[serviceKey{"default", "many"}] = many(300)
	s := &Server{Upstream: to(f)}
	s.SetZone(z)
	done := make(chan error, 1)
	go func() { done <- s.Serve(context.Background(), udp, tcp) }()
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	path := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), set.File(namespaces.Network).Fd())
	p := podSpace{path, filepath.Join(t.TempDir(), "resolv.conf"), filepath.Join(t.TempDir(), "nsswitch.conf")}
	conf := ClusterFirst(addr.Addr(), "default", "cluster.local", ResolvConf{Search: []string{"corp.example"}})
	text, _ := conf.Text()
	for path, text := range map[string][]byte{p.resolv: text, p.nss: []byte("hosts: dns\n")} {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// run runs a command inside and returns its output.
func (p podSpace) run(t *testing.T, command ...string) (string, error) {
	t.Helper()
	const mounts = `mount --bind "$1" /etc/resolv.conf && mount --bind "$2" /etc/nsswitch.conf && shift 2 && exec "$@"`
	c := exec.Command("nsenter", append([]string{"--net=" + p.net, "unshare", "--mount", "sh", "-c", mounts, "sh", p.resolv, p.nss}, command...)...)
	c.Env = append(os.Environ(), lookupVariable+"="+command[len(command)-1])
	out, err := c.CombinedOutput()
	return string(out), err
}

// addressesIn returns the addresses that a command printed, each once.
func addressesIn(out string) []string {
	list := []string{}
	for _, word := range strings.Fields(out) {
		if a, err := netip.ParseAddr(word); err == nil {
			list = append(list, a.Unmap().String())
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// TestClients asks by the C libraries that containers have, with the resolv.conf
// that a pod gets.
func TestClients(t *testing.T) {
	p := newPod(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	clients := map[string][]string{"Go": {self}, "glibc": {"getent", "ahosts"}, "musl": {muslLookup(t)}}
	db := []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::a"}
	for client, command := range clients {
		t.Run(client, func(t *testing.T) {
			if path, err := exec.LookPath(command[0]); err != nil || path == "" {
				t.Skipf("%s is not installed", client)
			}
			for name, want := range map[string][]string{
				"web":                            {"127.96.0.1"},
				"web.default":                    {"127.96.0.1"},
				"web.default.svc":                {"127.96.0.1"},
				"web.default.svc.cluster.local":  {"127.96.0.1"},
				"web.default.svc.cluster.local.": {"127.96.0.1"},
				"WEB":                            {"127.96.0.1"},
				"both":                           {"127.96.0.2", "fd00::2"},
				"db":                             db,
				"db-0.db":                        {"10.0.0.1", "fd00::a"},
				"10-0-0-3.db.default":            {"10.0.0.3"},
				"inside.other":                   db,
				"alias.other":                    {"192.0.2.1"},
				"www.example.com":                {"192.0.2.1"},
				"inner":                          {"192.0.2.2"},
				"10-0-0-1.default.pod":           {"10.0.0.1"},
				"missing":                        {},
				"web.other":                      {},
				"web.default.svc.cluster":        {},
				"missing.example.com.":           {},
			} {
				out, err := p.run(t, append(slices.Clone(command), name)...)
				if got := addressesIn(out); !slices.Equal(got, want) || (err == nil) != (len(want) > 0) {
					t.Errorf("%s: %q, want %q (%v: %s)", name, got, want, err, out)
				}
			}
			// More than a datagram holds. musl before 1.2.4 knows no TCP: what
			// came has to be of use.
			out, err := p.run(t, append(slices.Clone(command), "many")...)
			if got := len(addressesIn(out)); got != 300 && (client != "musl" || got == 0) {
				t.Errorf("many: %d addresses, %v", got, err)
			}
			out, err = p.run(t, append(slices.Clone(command), "long.example.com")...)
			if got := len(addressesIn(out)); got != 100 && client != "musl" {
				t.Errorf("long: %d addresses, %v", got, err)
			}
		})
	}
	for addr, want := range map[string]string{
		"127.96.0.1": "web.default.svc.cluster.local", "10.0.0.2": "db-1.db.default.svc.cluster.local", "fd00::a": "db-0.db.default.svc.cluster.local",
	} {
		if out, err := p.run(t, "getent", "hosts", addr); err != nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v %q", addr, err, out)
		}
	}
}

// TestBusybox: nslookup asks for what it is told, and for SRV too.
func TestBusybox(t *testing.T) {
	p := newPod(t)
	if _, err := exec.LookPath("busybox"); err != nil {
		t.Skip("busybox is not installed")
	}
	for _, test := range []struct{ args, want string }{
		{"web", "Name:\tweb.default.svc.cluster.local\nAddress: 127.96.0.1"},
		{"-type=srv _sql._tcp.db.default.svc.cluster.local", "service = 0 33 15432 db-1.db.default.svc.cluster.local"},
		{"-type=txt dns-version.cluster.local", `text = "1.1.0"`},
		{"-type=cname alias.other.svc.cluster.local", "canonical name = target.example.com"},
		{"-type=ptr 1.0.96.127.in-addr.arpa", "name = web.default.svc.cluster.local"},
		{"missing.default.svc.cluster.local", "NXDOMAIN"},
	} {
		out, _ := p.run(t, append([]string{"busybox", "nslookup"}, strings.Fields(test.args)...)...)
		if !strings.Contains(out, test.want) {
			t.Errorf("%s: %s, want %q", test.args, out, test.want)
		}
	}
	if out, err := p.run(t, "busybox", "ping", "-c1", "-W1", "web.default"); err != nil || !strings.Contains(out, "(127.96.0.1)") {
		t.Errorf("ping: %v %s", err, out)
	}
}

// muslLookup builds a program that looks a name up by musl, "" where there is no
// compiler for it.
func muslLookup(t *testing.T) string {
	compiler, err := exec.LookPath("musl-gcc")
	if err != nil {
		return ""
	}
	dir := t.TempDir()
	source, binary := filepath.Join(dir, "lookup.c"), filepath.Join(dir, "lookup")
	if err := os.WriteFile(source, []byte(`#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
int main(int argc, char **argv) {
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *a;
	int e = getaddrinfo(argv[1], 0, &hints, &a);
	if (e) return fprintf(stderr, "%s\n", gai_strerror(e)), 1;
	for (; a; a = a->ai_next) {
		char text[64];
		getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof text, 0, 0, NI_NUMERICHOST);
		puts(text);
	}
}
`), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(compiler, "-static", "-o", binary, source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return binary
}
