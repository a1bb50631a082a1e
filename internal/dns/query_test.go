package dns

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// change returns a query for web with some bytes set.
func change(t testing.TB, a ask, set map[int]byte) []byte {
	if a.name == "" {
		a.name, a.typ = "web.default.svc.cluster.local.", typeA
	}
	msg := a.pack(t, 7)
	for at, b := range set {
		if at < 0 {
			at += len(msg)
		}
		msg[at] = b
	}
	return msg
}

// TestMalformed: what is wrong gets an error, and what is no query gets nothing.
func TestMalformed(t *testing.T) {
	addr := start(t, &Server{})
	good := change(t, ask{}, nil)
	edns := func(set map[int]byte) []byte { return change(t, ask{size: 1000}, set) }
	extended := dnsmessage.RCode(16)
	for _, test := range []struct {
		name string
		msg  []byte
		want dnsmessage.RCode
	}{
		{"good", good, noError},
		{"nothing", nil, drop},
		{"half a header", good[:7], drop},
		{"an answer", change(t, ask{}, map[int]byte{2: 0x80}), drop},
		{"header alone", good[:12], formErr},
		{"no question", change(t, ask{}, map[int]byte{5: 0}), formErr},
		{"two questions", change(t, ask{}, map[int]byte{5: 2}), formErr},
		{"cut in the name", good[:20], formErr},
		{"cut in the type", good[:len(good)-3], formErr},
		{"a pointer as name", change(t, ask{}, map[int]byte{12: 0xc0, 13: 12}), formErr},
		{"a reserved label", change(t, ask{}, map[int]byte{12: 0x80}), formErr},
		{"a label beyond the end", change(t, ask{}, map[int]byte{12: 63}), formErr},
		{"records that are not there", change(t, ask{}, map[int]byte{7: 1}), formErr},
		{"authority that is not there", change(t, ask{}, map[int]byte{9: 1}), formErr},
		{"additional that is not there", change(t, ask{}, map[int]byte{11: 1}), formErr},
		{"65535 additional", edns(map[int]byte{10: 255, 11: 255}), formErr},
		{"options cut", edns(map[int]byte{-1: 9}), formErr},
		{"two OPT", append(edns(map[int]byte{11: 2}), edns(nil)[len(good):]...), formErr},
		{"OPT with a name", append(append(change(t, ask{}, map[int]byte{11: 1}), 1, 'x', 0), edns(nil)[len(good)+1:]...), formErr},
		{"EDNS 1", edns(map[int]byte{-5: 1}), extended},
		{"unknown option", append(edns(map[int]byte{-1: 6}), 0xff, 0xf0, 0, 2, 'h', 'i'), noError},
		{"opcode STATUS", change(t, ask{}, map[int]byte{2: 2 << 3}), notImp},
		{"opcode NOTIFY", change(t, ask{}, map[int]byte{2: 4 << 3}), notImp},
		{"opcode UPDATE", change(t, ask{}, map[int]byte{2: 5 << 3}), notImp},
		{"class CHAOS", change(t, ask{}, map[int]byte{-1: 3}), refused},
		{"class ANY", change(t, ask{}, map[int]byte{-1: 255}), refused},
		{"garbage behind", append(bytes.Clone(good), "garbage"...), noError},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := dial(t, "udp", addr)
			c.Write(test.msg)
			if test.want == drop {
				c.Write(change(t, ask{}, map[int]byte{1: 8})) // its answer has to be the first
			}
			buf := make([]byte, 2000)
			n, err := c.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			var m dnsmessage.Message
			if err := m.Unpack(buf[:n]); err != nil {
				t.Fatalf("%v: % x", err, buf[:n])
			}
			got := m.RCode
			for _, r := range m.Additionals {
				if r.Header.Type == dnsmessage.TypeOPT {
					got = r.Header.ExtendedRCode(got)
				}
			}
			want, id := test.want, uint16(7)
			if want == drop {
				want, id = noError, 8
			}
			if got != want || m.ID != id || want != noError && len(m.Answers) > 0 {
				t.Errorf("%v, %d answers, want %v", got, len(m.Answers), want)
			}
		})
	}
}

// TestOptions: EDNS0 is answered by EDNS0 and by nothing else.
func TestOptions(t *testing.T) {
	addr := start(t, &Server{})
	for _, name := range []string{"web.default.svc.cluster.local.", "no.default.svc.cluster.local.", "example.com."} {
		for _, tcp := range []bool{false, true} {
			for _, a := range []ask{{}, {size: 512}, {size: 4096, do: true}} {
				a.name, a.typ, a.tcp = name, typeA, tcp
				m, _ := a.get(t, addr)
				opt := 0
				for _, r := range m.Additionals {
					if r.Header.Type == dnsmessage.TypeOPT {
						opt++
						if int(r.Header.Class) != maxUDP || r.Header.DNSSECAllowed() != a.do || r.Header.TTL&0xffff0000 != 0 {
							t.Errorf("%+v: %+v", a, r.Header)
						}
					}
				}
				if opt != min(a.size, 1) {
					t.Errorf("%+v: %d OPT records", a, opt)
				}
			}
		}
	}
}

// FuzzHandle: whatever comes, an answer is one to it, is within the limit, and
// can be read.
func FuzzHandle(f *testing.F) {
	for _, a := range []ask{
		{name: "web.default.svc.cluster.local.", typ: typeA}, {name: "_sql._tcp.db.default.svc.cluster.local.", typ: typeSRV, size: 600},
		{name: "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.", typ: typePTR},
		{name: "10-0-0-1.default.pod.cluster.local.", typ: typeAAAA, size: 100, do: true},
		{name: "alias.other.svc.cluster.local.", typ: typeA}, {name: "twice.other.svc.cluster.local.", typ: typeA},
		{name: "many.default.svc.cluster.local.", typ: typeSRV}, {name: "example.com.", typ: typeA}, {name: ".", typ: dnsmessage.TypeNS},
	} {
		f.Add(a.pack(f, 99), false)
		f.Add(a.pack(f, 99), true)
	}
	s := &Server{Upstream: func() []netip.AddrPort { return nil }}
	s.once.Do(s.init)
	z := zone()
	z.services[serviceKey{"default", "many"}] = many(100)
	s.SetZone(z)
	front := newFront(context.Background(), s, nil, nil)
	f.Fuzz(func(t *testing.T, msg []byte, tcp bool) {
		if len(msg) > maxQuery {
			return
		}
		before := bytes.Clone(msg)
		c := &caught{isTCP: tcp}
		front.handle(msg, c, make([]byte, 0, maxUDP))
		front.pending.Wait()
		if !bytes.Equal(msg, before) {
			t.Error("the query was changed")
		}
		if len(c.answers) == 0 {
			if len(msg) >= headerSize && msg[2]&0x80 == 0 {
				t.Errorf("no answer to % x", msg)
			}
			return
		}
		answer := c.answers[0]
		var p dnsmessage.Parser
		h, err := p.Start(answer)
		if err != nil || len(c.answers) > 1 || !h.Response || h.ID != uint16(msg[0])<<8|uint16(msg[1]) {
			t.Fatalf("%d answers, header %#v, %v", len(c.answers), h, err)
		}
		if !tcp && len(answer) > maxUDP {
			t.Errorf("%d bytes", len(answer))
		}
		for _, skip := range []func() error{p.SkipAllQuestions, p.SkipAllAnswers, p.SkipAllAuthorities, p.SkipAllAdditionals} {
			if err := skip(); err != nil {
				t.Errorf("%v in % x", err, answer)
			}
		}
	})
}

// caught is a client that keeps the answers.
type caught struct {
	isTCP   bool
	answers [][]byte
}

func (c *caught) tcp() bool            { return c.isTCP }
func (c *caught) addr() netip.AddrPort { return netip.AddrPort{} }
func (c *caught) hold() func()         { return func() {} }
func (c *caught) send(msg []byte)      { c.answers = append(c.answers, bytes.Clone(msg)) }

// TestTCPConversation: several queries on one connection, in pieces, and after
// the client has ended its direction.
func TestTCPConversation(t *testing.T) {
	addr := start(t, &Server{})
	c := dial(t, "tcp", addr).(*net.TCPConn)
	c.SetNoDelay(true)
	one := change(t, ask{}, nil)
	framed := append([]byte{0, byte(len(one))}, one...)
	for _, b := range framed {
		c.Write([]byte{b})
	}
	c.Write(bytes.Repeat(framed, 20))
	c.CloseWrite()
	for i := range 21 {
		answer, err := readTCP(c, 1<<16)
		if err != nil || answer[1] != 7 || answer[7] != 1 {
			t.Fatalf("answer %d: % x, %v", i, answer, err)
		}
	}
	if _, err := readTCP(c, 1<<16); err == nil {
		t.Error("one answer too many")
	}
}

// TestTCPLimits: a message that is too long ends the connection, and no more
// than so many connections are held.
func TestTCPLimits(t *testing.T) {
	addr := start(t, &Server{})
	c := dial(t, "tcp", addr)
	c.Write([]byte{maxQuery>>8 + 1, 0})
	if _, err := c.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("a query of %d bytes: %v", maxQuery+256, err)
	}
	var open []net.Conn
	for range maxConns {
		open = append(open, dial(t, "tcp", addr))
	}
	// Each is being served.
	for _, c := range open {
		writeTCP(c, change(t, ask{}, nil))
		if _, err := readTCP(c, 1<<16); err != nil {
			t.Fatal(err)
		}
	}
	more := dial(t, "tcp", addr)
	writeTCP(more, change(t, ask{}, nil))
	more.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := readTCP(more, 1<<16); !isTimeout(err) {
		t.Errorf("connection %d: %v", maxConns+1, err)
	}
	open[0].Close()
	more.SetReadDeadline(time.Now().Add(patience))
	if _, err := readTCP(more, 1<<16); err != nil {
		t.Errorf("connection %d after one went: %v", maxConns+1, err)
	}
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}
