package dns

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// TestMain fails a run that leaves goroutines or sockets.
func TestMain(m *testing.M) {
	if name, ok := os.LookupEnv(lookupVariable); ok {
		lookUp(name)
		return
	}
	running, open := len(goroutines()), sockets()
	code := m.Run()
	if err := poll(func() error {
		if now := goroutines(); len(now) > running {
			return fmt.Errorf("%d goroutines leaked:\n%s", len(now)-running, strings.Join(now, "\n\n"))
		}
		if n := sockets(); n > open {
			return fmt.Errorf("%d sockets leaked", n-open)
		}
		return nil
	}); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		code = 1
	}
	os.Exit(code)
}

// goroutines returns their stacks, without that of os/signal, which package
// testing starts for fuzzing.
func goroutines() []string {
	buf := make([]byte, 1<<20)
	all := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
	return slices.DeleteFunc(all, func(s string) bool { return strings.Contains(s, "os/signal.loop") })
}

func sockets() int {
	n := 0
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		if target, _ := os.Readlink("/proc/self/fd/" + e.Name()); strings.HasPrefix(target, "socket:") {
			n++
		}
	}
	return n
}

// poll calls f until it returns nil, for five seconds at most.
func poll(f func() error) error {
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if err = f(); err == nil {
			return nil
		}
	}
	return err
}

// patience bounds what should come at once.
const patience = 5 * time.Second

// zone is the cluster of most tests.
func zone() *Table {
	addrs := func(list ...string) (a []netip.Addr) {
		for _, s := range list {
			a = append(a, netip.MustParseAddr(s))
		}
		return a
	}
	return NewTable([]*Service{
		{Namespace: "default", Name: "web", Addresses: addrs("127.96.0.1"), Ports: []Port{
			{"http", "TCP", 80}, {"https", "", 443}, {"", "UDP", 5353},
		}},
		{Namespace: "default", Name: "both", Addresses: addrs("127.96.0.2", "fd00::2"), Ports: []Port{{"dns", "UDP", 53}}},
		{Namespace: "default", Name: "db", Ports: []Port{{"sql", "TCP", 5432}}, Endpoints: []Endpoint{
			{Hostname: "db-0", Addresses: addrs("10.0.0.1", "fd00::a")},
			{Hostname: "db-1", Addresses: addrs("10.0.0.2"), Ports: []Port{{"sql", "TCP", 15432}}},
			{Addresses: addrs("10.0.0.3")},
		}},
		{Namespace: "default", Name: "none", Ports: []Port{{"x", "TCP", 1}}},
		{Namespace: "default", Name: "portless", Endpoints: []Endpoint{{Addresses: addrs("::ffff:10.0.0.9")}}},
		{Namespace: "other", Name: "alias", ExternalName: "Target.Example.com."},
		{Namespace: "other", Name: "inside", ExternalName: "db.default.svc.cluster.local"},
		{Namespace: "other", Name: "twice", ExternalName: "inside.other.svc.cluster.local"},
		{Namespace: "other", Name: "broken", ExternalName: "gone.other.svc.cluster.local"},
		{Namespace: "other", Name: "circle", ExternalName: "circle.other.svc.cluster.local"},
		{Namespace: "other", Name: "wrong", ExternalName: "two..dots"},
	}, []Pod{{"default", netip.MustParseAddr("10.0.0.1")}, {"default", netip.MustParseAddr("fd00::a")}, {"lonely", netip.MustParseAddr("10.0.0.7")}})
}

// start serves on loopback until the test ends, with zone().
func start(t testing.TB, s *Server) netip.AddrPort {
	t.Helper()
	if s.Upstream == nil {
		s.Upstream = func() []netip.AddrPort { return nil }
	}
	if s.zone.Load() == nil {
		s.SetZone(zone())
	}
	s.once.Do(s.init) // tests look at what it makes
	udp, tcp := listen(t)
	done := make(chan error, 1)
	go func() { done <- s.Serve(t.Context(), udp, tcp) }()
	t.Cleanup(func() {
		select {
		case <-done:
		case <-time.After(patience):
			t.Error("Serve does not return")
		}
	})
	return addrOf(udp.LocalAddr())
}

// listen returns sockets at one port.
func listen(t testing.TB) (*net.UDPConn, *net.TCPListener) {
	t.Helper()
	for range 100 {
		udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		a := udp.LocalAddr().(*net.UDPAddr)
		if tcp, err := net.ListenTCP("tcp", &net.TCPAddr{IP: a.IP, Port: a.Port}); err == nil {
			return udp, tcp
		}
		udp.Close()
	}
	t.Fatal("no port is free for UDP and TCP")
	return nil, nil
}

// ask is a query of a test.
type ask struct {
	name string
	typ  dnsmessage.Type
	tcp  bool
	size int // of EDNS0; 0: none
	do   bool
}

// pack returns the query as it is sent.
func (a ask) pack(t testing.TB, id uint16) []byte {
	t.Helper()
	name, err := dnsmessage.NewName(a.name)
	if err != nil {
		t.Fatal(err)
	}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: name, Type: a.typ, Class: dnsmessage.ClassINET}},
	}
	if a.size > 0 {
		var h dnsmessage.ResourceHeader
		if err := h.SetEDNS0(a.size, 0, a.do); err != nil {
			t.Fatal(err)
		}
		m.Additionals = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.OPTResource{}}}
	}
	msg, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// dial connects to a server and bounds what the test does there.
func dial(t testing.TB, network string, to netip.AddrPort) net.Conn {
	t.Helper()
	c, err := net.Dial(network, to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// raw sends a message and returns the answer.
func raw(t testing.TB, to netip.AddrPort, tcp bool, msg []byte) []byte {
	t.Helper()
	network := "udp"
	if tcp {
		network = "tcp"
	}
	c := dial(t, network, to)
	defer c.Close()
	if tcp {
		if err := writeTCP(c, msg); err != nil {
			t.Fatal(err)
		}
		answer, err := readTCP(c, 1<<16)
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	if _, err := c.Write(msg); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<16)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

// get asks and returns the answer, whose identity and question are right.
func (a ask) get(t testing.TB, to netip.AddrPort) (m dnsmessage.Message, size int) {
	t.Helper()
	msg := a.pack(t, 4711)
	answer := raw(t, to, a.tcp, msg)
	if err := m.Unpack(answer); err != nil {
		t.Fatalf("%s: %v in % x", a.name, err, answer)
	}
	if m.ID != 4711 || !m.Response || !m.RecursionDesired || !m.RecursionAvailable {
		t.Errorf("%s: header %#v", a.name, m.Header)
	}
	if len(m.Questions) != 1 || m.Questions[0].Name.String() != a.name || m.Questions[0].Type != a.typ {
		t.Errorf("%s: question %v", a.name, m.Questions)
	}
	return m, len(answer)
}

// texts writes records, sorted, without their owners where that is the question.
func texts(list []dnsmessage.Resource, question string) []string {
	out := []string{}
	for _, r := range list {
		s := text(r.Body)
		if o := r.Header.Name.String(); o != question {
			s = o + " " + s
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

func text(body dnsmessage.ResourceBody) string {
	switch b := body.(type) {
	case *dnsmessage.AResource:
		return "A " + netip.AddrFrom4(b.A).String()
	case *dnsmessage.AAAAResource:
		return "AAAA " + netip.AddrFrom16(b.AAAA).String()
	case *dnsmessage.CNAMEResource:
		return "CNAME " + b.CNAME.String()
	case *dnsmessage.PTRResource:
		return "PTR " + b.PTR.String()
	case *dnsmessage.NSResource:
		return "NS " + b.NS.String()
	case *dnsmessage.TXTResource:
		return "TXT " + strings.Join(b.TXT, " ")
	case *dnsmessage.SRVResource:
		return fmt.Sprint("SRV ", b.Priority, " ", b.Weight, " ", b.Port, " ", b.Target)
	case *dnsmessage.SOAResource:
		return fmt.Sprint("SOA ", b.NS, " ", b.MBox, " ", b.MinTTL)
	case *dnsmessage.UnknownResource:
		return fmt.Sprintf("TYPE%d %q", b.Type, b.Data)
	}
	return fmt.Sprintf("%#v", body)
}

// journal collects what a server logs.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}
