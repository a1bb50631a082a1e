package dns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// fake is another server, which a test writes.
type fake struct {
	addr    netip.AddrPort
	queries atomic.Int64
	ports   sync.Map // of clients over UDP
	ids     sync.Map
}

// upstream starts a fake; handle gets each query and returns what is sent back,
// one message after the other.
func upstream(t testing.TB, handle func(q dnsmessage.Message, tcp bool) [][]byte) *fake {
	t.Helper()
	udp, tcp := listen(t)
	f := &fake{addr: addrOf(udp.LocalAddr())}
	answer := func(msg []byte, isTCP bool, send func([]byte)) {
		f.queries.Add(1)
		var q dnsmessage.Message
		if err := q.Unpack(msg); err != nil {
			t.Errorf("forwarded % x: %v", msg, err)
			return
		}
		f.ids.Store(q.ID, true)
		for _, m := range handle(q, isTCP) {
			send(m)
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := udp.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			f.ports.Store(from.Port(), true)
			msg := bytes.Clone(buf[:n])
			wg.Go(func() { answer(msg, false, func(m []byte) { udp.WriteToUDPAddrPort(m, from) }) })
		}
	})
	wg.Go(func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				for {
					msg, err := readTCP(c, 1<<16)
					if err != nil {
						return
					}
					answer(msg, true, func(m []byte) { writeTCP(c, m) })
				}
			})
		}
	})
	t.Cleanup(func() { udp.Close(); tcp.Close(); wg.Wait() })
	return f
}

// says answers q with records of 192.0.2.x, one for each byte.
func says(q dnsmessage.Message, rcode dnsmessage.RCode, last ...byte) []byte {
	q.Response, q.RCode, q.RecursionAvailable = true, rcode, true
	for _, b := range last {
		q.Answers = append(q.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: q.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 77},
			Body:   &dnsmessage.AResource{A: [4]byte{192, 0, 2, b}},
		})
	}
	msg, err := q.Pack()
	if err != nil {
		panic(err)
	}
	return msg
}

func to(list ...*fake) func() []netip.AddrPort {
	var addrs []netip.AddrPort
	for _, f := range list {
		addrs = append(addrs, f.addr)
	}
	return func() []netip.AddrPort { return addrs }
}

func TestForward(t *testing.T) {
	f := upstream(t, func(q dnsmessage.Message, tcp bool) [][]byte {
		return [][]byte{says(q, noError, byte(len(q.Additionals)))}
	})
	addr := start(t, &Server{Upstream: to(f)})
	for _, a := range []ask{{}, {tcp: true}, {size: 1000}, {size: 4096, tcp: true}} {
		a.name, a.typ = "wWw.Example.com.", typeA
		m, _ := a.get(t, addr)
		if got := texts(m.Answers, a.name); !slices.Equal(got, []string{fmt.Sprint("A 192.0.2.", min(a.size, 1))}) {
			t.Errorf("%+v: %q", a, got)
		}
		if m.Authoritative || m.Answers[0].Header.TTL != 77 {
			t.Errorf("%+v: %+v", a, m)
		}
	}
}

// TestForwardIsHardToForge: neither the identity nor the port of a query follows
// from others.
func TestForwardIsHardToForge(t *testing.T) {
	f := upstream(t, func(q dnsmessage.Message, tcp bool) [][]byte { return [][]byte{says(q, noError, 1)} })
	addr := start(t, &Server{Upstream: to(f)})
	for i := range 50 {
		ask{name: fmt.Sprint("x", i, ".example."), typ: typeA}.get(t, addr)
	}
	for name, m := range map[string]*sync.Map{"identities": &f.ids, "ports": &f.ports} {
		n := 0
		m.Range(func(any, any) bool { n++; return true })
		if n < 40 {
			t.Errorf("50 queries with %d %s", n, name)
		}
	}
}

// TestForgedAnswers: what is not the answer is passed over.
func TestForgedAnswers(t *testing.T) {
	f := upstream(t, func(q dnsmessage.Message, tcp bool) [][]byte {
		right := says(q, noError, 1)
		id, question, query, kind := q, q, q, q
		id.ID++
		question.Questions = slices.Clone(q.Questions)
		question.Questions[0].Name = dnsmessage.MustNewName("wwx.example.")
		kind.Questions = slices.Clone(q.Questions)
		kind.Questions[0].Type = typeTXT
		echoed, _ := query.Pack()
		empty := says(q, noError)[:headerSize]
		empty[5] = 0
		return [][]byte{says(id, noError, 6), says(question, noError, 6), says(kind, noError, 6), echoed, {}, right[:11], empty, right}
	})
	addr := start(t, &Server{Upstream: to(f)})
	m, _ := ask{name: "www.example.", typ: typeA}.get(t, addr)
	if got := texts(m.Answers, "www.example."); !slices.Equal(got, []string{"A 192.0.2.1"}) {
		t.Errorf("%v %q", m.RCode, got)
	}
}

// TestNextServer: one that is silent, refuses, or is not there is followed by
// the next.
func TestNextServer(t *testing.T) {
	good := upstream(t, func(q dnsmessage.Message, tcp bool) [][]byte { return [][]byte{says(q, noError, 1)} })
	silent := upstream(t, func(dnsmessage.Message, bool) [][]byte { return nil })
	gone := &fake{addr: netip.MustParseAddrPort("127.0.0.1:1")}
	unhappy := func(rcode dnsmessage.RCode) *fake {
		return upstream(t, func(q dnsmessage.Message, tcp bool) [][]byte { return [][]byte{says(q, rcode)} })
	}
	for _, test := range []struct {
		name    string
		servers []*fake
		rcode   dnsmessage.RCode
		answers int
	}{
		{"silent", []*fake{silent, good}, noError, 1},
		{"gone", []*fake{gone, gone, good}, noError, 1},
		{"SERVFAIL", []*fake{unhappy(servFail), good}, noError, 1},
		{"REFUSED", []*fake{unhappy(refused), good}, noError, 1},
		{"NOTIMP", []*fake{unhappy(notImp), good}, noError, 1},
		{"NXDOMAIN is an answer", []*fake{unhappy(nxDomain), good}, nxDomain, 0},
		{"all REFUSED", []*fake{unhappy(refused), gone}, refused, 0},
		{"nobody", []*fake{gone, gone}, servFail, 0},
		{"none", nil, servFail, 0},
		{"three at most", []*fake{gone, gone, gone, good}, servFail, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, tcp := range []bool{false, true} {
				addr := start(t, &Server{Upstream: to(test.servers...)})
				m, _ := ask{name: "www.example.", typ: typeA, tcp: tcp}.get(t, addr)
				if m.RCode != test.rcode || len(m.Answers) != test.answers {
					t.Errorf("TCP %v: %v, %d answers", tcp, m.RCode, len(m.Answers))
				}
			}
		})
	}
}

// TestSilentServer: a server that is dead costs its time once, not with each
// query, and is asked again later.
func TestSilentServer(t *testing.T) {
	good := upstream(t, func(q dnsmessage.Message, tcp bool) [][]byte { return [][]byte{says(q, noError, 1)} })
	var alive atomic.Bool
	first := upstream(t, func(q dnsmessage.Message, tcp bool) [][]byte {
		if !alive.Load() {
			return nil
		}
		return [][]byte{says(q, noError, 2)}
	})
	s := &Server{Upstream: to(first, good)}
	addr := start(t, s)
	get := func(want byte) time.Duration {
		t.Helper()
		began := time.Now()
		m, _ := ask{name: "www.example.", typ: typeA}.get(t, addr)
		if len(m.Answers) != 1 || m.Answers[0].Body.(*dnsmessage.AResource).A[3] != want {
			t.Errorf("%v %v, want %d", m.RCode, m.Answers, want)
		}
		return time.Since(began)
	}
	if d := get(1); d < upstreamTimeout {
		t.Errorf("the silent server was given %v", d)
	}
	for range 10 {
		if d := get(1); d >= upstreamTimeout {
			t.Errorf("a later query took %v", d)
		}
	}
	alive.Store(true)
	s.mu.Lock()
	for server := range s.silent {
		s.silent[server] = time.Now().Add(-avoidFor)
	}
	s.mu.Unlock()
	get(2)
	s.mu.Lock()
	if len(s.silent) != 0 {
		t.Errorf("%v", s.silent)
	}
	s.mu.Unlock()
}

// TestErrorsWithoutQuestion: some servers answer what they do not understand by
// a header.
func TestErrorsWithoutQuestion(t *testing.T) {
	f := upstream(t, func(q dnsmessage.Message, tcp bool) [][]byte {
		m, _ := (&dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true, RCode: formErr}}).Pack()
		return [][]byte{m}
	})
	addr := start(t, &Server{Upstream: to(f)})
	got := raw(t, addr, false, ask{name: "www.example.", typ: typeA, size: 1000}.pack(t, 3))
	if len(got) != headerSize || got[3]&0xf != byte(formErr) || got[1] != 3 {
		t.Errorf("% x", got)
	}
}

// TestForwardTruncated: TC is passed on, and is set where the answer does not
// fit; over TCP the whole comes.
func TestForwardTruncated(t *testing.T) {
	f := upstream(t, func(q dnsmessage.Message, tcp bool) [][]byte {
		q.Additionals = nil
		if !tcp && strings.HasPrefix(q.Questions[0].Name.String(), "tc.") {
			q.Truncated = true
			return [][]byte{says(q, noError)}
		}
		return [][]byte{says(q, noError, make([]byte, 100)...)}
	})
	addr := start(t, &Server{Upstream: to(f)})
	for _, name := range []string{"tc.example.", "long.example."} {
		for _, size := range []int{0, 600, 4096} {
			m, n := ask{name: name, typ: typeA, size: size}.get(t, addr)
			if !m.Truncated || n > 512 {
				t.Errorf("%s EDNS %d: TC %v, %d bytes", name, size, m.Truncated, n)
			}
		}
		if m, _ := (ask{name: name, typ: typeA, tcp: true}).get(t, addr); m.Truncated || len(m.Answers) != 100 {
			t.Errorf("%s TCP: TC %v, %d records", name, m.Truncated, len(m.Answers))
		}
	}
}

// TestMerge: what several ask at the same time is asked once, and each gets the
// answer to his own spelling.
func TestMerge(t *testing.T) {
	release := make(chan struct{})
	f := upstream(t, func(q dnsmessage.Message, tcp bool) [][]byte {
		<-release
		return [][]byte{says(q, noError, 1)}
	})
	s := &Server{Upstream: to(f)}
	addr := start(t, s)
	var wg sync.WaitGroup
	for i := range 20 {
		name := []byte("www.example.")
		name[i%3] -= 32
		wg.Go(func() {
			m, _ := ask{name: string(name), typ: typeA}.get(t, addr)
			if len(m.Answers) != 1 || m.Answers[0].Header.Name.String() != string(name) {
				t.Errorf("%s: %v", name, m.Answers)
			}
		})
	}
	if err := poll(func() error {
		if n := len(s.slots); n != 20 {
			return fmt.Errorf("%d queries wait", n)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	close(release)
	wg.Wait()
	if n := f.queries.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// TestTooMany: beyond the bound there is an error, not another goroutine.
func TestTooMany(t *testing.T) {
	release := make(chan struct{})
	f := upstream(t, func(q dnsmessage.Message, tcp bool) [][]byte {
		<-release
		return [][]byte{says(q, noError, 1)}
	})
	s := &Server{Upstream: to(f)}
	addr := start(t, s)
	c := dial(t, "udp", addr)
	for i := range maxForwarding {
		// The same few names: one socket each.
		c.Write(ask{name: fmt.Sprint(i%5, ".example."), typ: typeA}.pack(t, 1))
		if i%50 == 49 {
			if err := poll(func() error {
				if len(s.slots) <= i {
					return errors.New("a query is lost")
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if m, _ := (ask{name: "more.example.", typ: typeA}).get(t, addr); m.RCode != servFail {
		t.Error(m.RCode)
	}
	if m, _ := (ask{name: "web.default.svc.cluster.local.", typ: typeA}).get(t, addr); len(m.Answers) != 1 {
		t.Error("names of the cluster have to wait")
	}
	close(release)
}

// TestLoop: a server that forwards to itself says so at once.
func TestLoop(t *testing.T) {
	var self netip.AddrPort
	var log journal
	s := &Server{Upstream: func() []netip.AddrPort { return []netip.AddrPort{self} }, Log: slog.New(slog.NewTextHandler(&log, nil))}
	udp, tcp := listen(t)
	self = addrOf(udp.LocalAddr())
	done := make(chan error, 1)
	go func() { done <- s.Serve(t.Context(), udp, tcp) }()
	began := time.Now()
	for _, isTCP := range []bool{false, true} {
		if m, _ := (ask{name: "www.example.", typ: typeA, tcp: isTCP}).get(t, self); m.RCode != refused {
			t.Errorf("TCP %v: %v", isTCP, m.RCode)
		}
	}
	if d := time.Since(began); d > upstreamTimeout/2 {
		t.Errorf("took %v", d)
	}
	if !strings.Contains(log.String(), "is this one") {
		t.Errorf("log: %s", log.String())
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestFollow: an alias for a name elsewhere comes with what that name has.
func TestFollow(t *testing.T) {
	f := upstream(t, func(q dnsmessage.Message, tcp bool) [][]byte {
		if q.Questions[0].Name.String() != "target.example.com." {
			t.Errorf("asked for %v", q.Questions)
		}
		switch {
		case q.Questions[0].Type == typeAAAA:
			return [][]byte{says(q, nxDomain)}
		case q.Questions[0].Type == typeTXT:
			return [][]byte{says(q, servFail)}
		case !tcp:
			q.Truncated = true
			return [][]byte{says(q, noError)}
		}
		return [][]byte{says(q, noError, 1, 2)}
	})
	addr := start(t, &Server{Upstream: to(f)})
	const name, chain = "alias.other.svc.cluster.local.", "CNAME target.example.com."
	for _, test := range []struct {
		typ   dnsmessage.Type
		rcode dnsmessage.RCode
		want  []string
	}{
		{typeA, noError, []string{chain, "target.example.com. A 192.0.2.1", "target.example.com. A 192.0.2.2"}},
		{typeAAAA, nxDomain, []string{chain}},
		{typeTXT, servFail, nil},
	} {
		for _, tcp := range []bool{false, true} {
			m, _ := ask{name: name, typ: test.typ, tcp: tcp}.get(t, addr)
			if got := texts(m.Answers, name); m.RCode != test.rcode || !slices.Equal(got, test.want) {
				t.Errorf("%v: %v %q, want %v %q", test.typ, m.RCode, got, test.rcode, test.want)
			}
		}
	}
}

// TestServeEnds: with its context, within the time of a forwarded query.
func TestServeEnds(t *testing.T) {
	asked := make(chan struct{}, 1)
	f := upstream(t, func(dnsmessage.Message, bool) [][]byte { asked <- struct{}{}; return nil })
	ctx, cancel := context.WithCancel(t.Context())
	s := &Server{Upstream: to(f)}
	s.SetZone(zone())
	udp, tcp := listen(t)
	addr := addrOf(udp.LocalAddr())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, udp, tcp) }()
	dial(t, "tcp", addr)
	dial(t, "udp", addr).Write(ask{name: "www.example.", typ: typeA}.pack(t, 1))
	<-asked
	began := time.Now()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || time.Since(began) > time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	if _, err := net.Dial("tcp", addr.String()); err == nil {
		t.Error("it listens still")
	}
	// A socket that fails is no order to end.
	udp, tcp = listen(t)
	udp.Close()
	if err := s.Serve(t.Context(), udp, tcp); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// TestShutdown: all that has come is answered, then nothing is served.
func TestShutdown(t *testing.T) {
	asked, release := make(chan struct{}, 10), map[string]chan struct{}{"a.example.": make(chan struct{}), "b.example.": make(chan struct{})}
	f := upstream(t, func(q dnsmessage.Message, tcp bool) [][]byte {
		asked <- struct{}{}
		select {
		case <-release[q.Questions[0].Name.String()]:
		case <-time.After(patience):
		}
		return [][]byte{says(q, noError, 1)}
	})
	s := &Server{Upstream: to(f)}
	s.SetZone(zone())
	udp, tcp := listen(t)
	addr := addrOf(udp.LocalAddr())
	done := make(chan error, 1)
	go func() { done <- s.Serve(t.Context(), udp, tcp) }()
	slow, slowTCP, idle := dial(t, "udp", addr), dial(t, "tcp", addr), dial(t, "tcp", addr)
	slow.Write(ask{name: "a.example.", typ: typeA}.pack(t, 1))
	writeTCP(slowTCP, ask{name: "b.example.", typ: typeA}.pack(t, 1))
	<-asked
	<-asked
	quick, quickTCP := dial(t, "udp", addr), dial(t, "tcp", addr)
	for i := range 100 {
		quick.Write(change(t, ask{}, map[int]byte{1: byte(i)}))
		writeTCP(quickTCP, change(t, ask{}, nil))
	}
	writeTCP(slowTCP, change(t, ask{}, nil))
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(t.Context()) }()
	buf := make([]byte, 2000)
	for i := range 100 {
		if _, err := quick.Read(buf); err != nil {
			t.Fatalf("answer %d of 100: %v", i, err)
		}
		if _, err := readTCP(quickTCP, 2000); err != nil {
			t.Fatalf("answer %d of 100 over TCP: %v", i, err)
		}
	}
	if _, err := idle.Read(buf); err == nil || isTimeout(err) {
		t.Errorf("idle connection: %v", err)
	}
	if msg, err := readTCP(slowTCP, 2000); err != nil || msg[1] != 7 {
		t.Errorf("% x, %v", msg, err)
	}
	close(release["b.example."])
	if msg, err := readTCP(slowTCP, 2000); err != nil || msg[7] != 1 {
		t.Errorf("% x, %v", msg, err)
	}
	if _, err := slowTCP.Read(buf); err == nil || isTimeout(err) {
		t.Errorf("connection that was answered: %v", err)
	}
	close(release["a.example."])
	if n, err := slow.Read(buf); err != nil || buf[7] != 1 {
		t.Errorf("% x, %v", buf[:n], err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	udp, tcp = listen(t)
	if err := s.Serve(t.Context(), udp, tcp); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// TestShutdownGivesUp: its context bounds the wait.
func TestShutdownGivesUp(t *testing.T) {
	asked := make(chan struct{}, 1)
	f := upstream(t, func(dnsmessage.Message, bool) [][]byte { asked <- struct{}{}; return nil })
	s := &Server{Upstream: to(f)}
	addr := start(t, s)
	dial(t, "udp", addr).Write(ask{name: "www.example.", typ: typeA}.pack(t, 1))
	<-asked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// FuzzUpstream: whatever another server answers, what the client gets is within
// its limit, is the answer to its question, and can be read if that could.
func FuzzUpstream(f *testing.F) {
	q := new(query)
	if rcode := q.parse(ask{name: "wWw.example.", typ: typeA, size: 512}.pack(f, 7), false); rcode != noError {
		f.Fatal(rcode)
	}
	var m dnsmessage.Message
	if err := m.Unpack(q.packet(9)); err != nil {
		f.Fatal(err)
	}
	f.Add(says(m, noError, 1, 2, 3)[headerSize:], uint16(noError), byte(3))
	f.Add(says(m, noError, make([]byte, 60)...)[headerSize:], uint16(noError), byte(60))
	f.Add([]byte{}, uint16(servFail), byte(0))
	f.Fuzz(func(t *testing.T, body []byte, flags uint16, answers byte) {
		sent := q.packet(9)
		answer := append([]byte{0, 9, 0x80 | byte(flags>>8), byte(flags), 0, 1, 0, answers, 0, 0, 0, 0}, body...)
		if answer = answer[:min(len(answer), maxUDP+1)]; !q.answeredBy(answer, sent) {
			return
		}
		before := bytes.Clone(answer)
		msg := q.adopt(answer)
		if !bytes.Equal(answer, before) {
			t.Error("the answer was changed, which others get too")
		}
		if len(msg) > q.limit || msg[1] != 7 || len(msg) > headerSize && !bytes.Equal(msg[headerSize:headerSize+len(q.question)], q.question) {
			t.Errorf("%d bytes: % x", len(msg), msg)
		}
		r := chain{q.name, "www.example"}.write(q, noError)
		r.fail(copyAnswers(r, answer))
		msg, err := r.finish()
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if err := m.Unpack(msg); err != nil || len(msg) > q.limit {
			t.Errorf("%d bytes, %v: % x", len(msg), err, msg)
		}
	})
}
