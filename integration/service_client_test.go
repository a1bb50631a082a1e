package integration

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/peapod/peapod/proxy"
)

// toldManifest has services over one pod that tells what it is told of its
// clients: on port 8080 by what they send, on 8081 by their address.
const toldManifest = `
apiVersion: v1
kind: Service
metadata: {name: X-one, annotations: {peapod.dev/send-proxy-protocol: v1, peapod.dev/host-port: "9001"}}
spec: {selector: {app: X}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: X-two, annotations: {peapod.dev/send-proxy-protocol: v2, peapod.dev/accept-proxy-protocol: "true", peapod.dev/host-port: "9002"}}
spec: {type: NodePort, selector: {app: X}, ports: [{port: 80, targetPort: 8080, nodePort: 31777}]}
---
apiVersion: v1
kind: Service
metadata: {name: X-own, annotations: {peapod.dev/transparent: "true", peapod.dev/host-port: "9003"}}
spec: {selector: {app: X}, ports: [{port: 80, targetPort: 8081}]}
---
apiVersion: v1
kind: Pod
metadata: {name: X-server, labels: {app: X}}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: a, image: IMAGE, command: [probe, serve, "0.0.0.0:8080", ;, peers, "0.0.0.0:8081", ;, hold], readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}}]
---
apiVersion: v1
kind: Pod
metadata: {name: X-client}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: a, image: IMAGE, command: [probe, hold]}]}
`

// The pods are told by the PROXY protocol who a client is, or see its address;
// at the host's addresses the client may be a proxy itself.
func TestServiceClientAddress(t *testing.T) {
	s := newStack(t, toldManifest, "server", "client")
	s.newHost("192.0.2.7", "192.0.2.8", "2001:db8::7")
	s.run()
	s.receives("own", 1)
	one, two, own := s.at("one", 80), s.at("two", 80), s.at("own", 80)
	// In text.
	for from, to := range map[string]string{"192.0.2.7": "192.0.2.8:9001", "2001:db8::7": "[2001:db8::7]:9001", "127.0.0.1": one} {
		family := map[bool]string{true: "TCP4", false: "TCP6"}[netip.MustParseAddr(from).Is4()]
		ip := netip.MustParseAddrPort(to)
		want := fmt.Sprintf("PROXY %s %s %s ", family, from, ip.Addr())
		if got := s.hears(from, to, "hello"); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, fmt.Sprintf(" %d\r\nhellobye", ip.Port())) {
			t.Errorf("%s to %s: %q", from, to, got)
		}
	}
	// In binary.
	s.hearsHeader("192.0.2.7", two, "192.0.2.7", "")
	const text = "PROXY TCP4 198.51.100.9 198.51.100.1 4711 443\r\n"
	v2 := proxy.Header{Source: netip.MustParseAddrPort("[2001:db8::9]:4711"), Destination: netip.MustParseAddrPort("[2001:db8::1]:443")}.AppendV2(nil)
	for _, to := range []string{"192.0.2.8:9002", "192.0.2.7:31777", "[::1]:9002"} {
		s.hearsHeader("", to, "198.51.100.9", text)
		s.hearsHeader("", to, "2001:db8::9", string(v2))
		s.turnedAwaySaying(to, "GET / HTTP/1.0\r\n\r\n")
	}
	if got := s.hears("", "[2001:db8::7]:9003", ""); !strings.HasSuffix(got, "connection refused") {
		t.Errorf("a client of IPv6 where pods see the client's address: %q", got)
	}
	// By the address.
	for from, to := range map[string]string{"192.0.2.7": own, "192.0.2.8": "192.0.2.7:9003"} {
		if got := s.hears(from, to, ""); !strings.HasPrefix(got, from+":") {
			t.Errorf("%s to %s: the container sees %q", from, to, got)
		}
	}
	if got := s.hears("127.0.0.1", own, ""); got != "127.0.0.1" {
		t.Errorf("the container sees %q", got)
	}
	if got := s.in("client", "connect", "X-own:80"); got != "127.0.0.1" {
		t.Errorf("from a pod the container sees %q", got)
	}
}

// hearsHeader looks for the client's address in the header that the pod got.
func (s *stack) hearsHeader(from, to, want, say string) {
	s.t.Helper()
	got := s.hears(from, to, say+"hello")
	h, n, err := proxy.ParseHeader([]byte(got))
	if err != nil || h.Source.Addr().Unmap() != netip.MustParseAddr(want) || got[n:] != "hellobye" || strings.HasPrefix(got, "PROXY ") {
		s.t.Errorf("%s: %+v, %v of %q, want %s", to, h, err, got, want)
	}
}

// turnedAwaySaying says what is no header.
func (s *stack) turnedAwaySaying(to, text string) {
	s.t.Helper()
	c, err := s.dial("tcp", "", to)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	c.Write([]byte(text))
	talker{s.t, c}.ended()
}

// What cannot have its clients' addresses is refused: datagrams, and clients of
// IPv6, for whom a transparent service does not listen.
func TestServiceTransparentRefused(t *testing.T) {
	for service, want := range map[string]string{
		`annotations: {peapod.dev/transparent: "true"}}|spec: {ports: [{port: 53, protocol: UDP}]`:                                  "metadata.annotations[\"peapod.dev/transparent\"]: it is for TCP, and port 53 is UDP: give that a service of its own",
		`annotations: {peapod.dev/send-proxy-protocol: v2}}|spec: {ports: [{port: 53, protocol: UDP}]`:                              "it is for TCP",
		`annotations: {peapod.dev/transparent: "true"}}|spec: {externalIPs: ["2001:db8::7"], selector: {a: b}, ports: [{port: 53}]`: "is for clients of IPv4",
		`annotations: {peapod.dev/transparent: "true"}}|spec: {ports: [{port: 53}]`:                                                 "is for pods",
	} {
		s := newStack(t, "apiVersion: v1\nkind: Service\nmetadata: {name: X-web, "+strings.Replace(service, "}}|", "}}\n", 1)+"}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: X-pod}\nspec: {containers: [{name: a, image: IMAGE}]}\n")
		peapod(t, "pod", "run", "-d", s.path).wants(1, want)
	}
}
