package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// upstreamTimeout is how long one server has to answer one query.
	upstreamTimeout = 2 * time.Second
	// maxUpstreams is how many servers are asked, as resolv.conf(5) has it.
	maxUpstreams = 3
)

// errNoUpstream is what comes of a function that returns no server.
var errNoUpstream = errors.New("no server to forward to")

// asking is a query that other servers were asked, and whoever else asked the
// same meanwhile waits for.
type asking struct {
	done   chan struct{}
	answer []byte // not to be changed: several get it
	err    error

	// Of the attempt that is under way, under front.mu.
	id    uint16
	local netip.AddrPort
}

// askKey is what has to be the same for one answer to do for two queries.
type askKey struct {
	name  string // as sent, in lower case
	flags flags
	limit int
	edns  bool
	tcp   bool
}

func (q *query) key() askKey {
	n := len(q.question) - 4
	// Bytes of lengths are below 'A'.
	return askKey{strings.ToLower(string(q.question[:n])) + string(q.question[n:]), q.flags, q.limit, q.edns, q.tcp}
}

// forward answers q with what another server says.
func (f *front) forward(q *query) ([]byte, error) {
	answer, err := f.ask(q)
	if err != nil {
		return nil, err
	}
	return q.adopt(answer), nil
}

// adopt makes another server's answer to q one of ours: the client's identity,
// and spelling, of the question.
func (q *query) adopt(answer []byte) []byte {
	if len(answer) > q.limit {
		r := newReply(q, nil, dnsmessage.RCode(answer[3]&0xf), false)
		r.cut = true
		if msg, err := r.finish(); err == nil {
			return msg
		}
	}
	msg := slices.Clone(answer)
	binary.BigEndian.PutUint16(msg, q.id)
	if binary.BigEndian.Uint16(msg[4:]) == 1 {
		copy(msg[headerSize:], q.question)
	}
	msg[3] |= flagRA
	return msg
}

// ask asks the servers in turn. What is asked already is not asked again; this
// also stops a circle of servers that forward to each other.
func (f *front) ask(q *query) ([]byte, error) {
	key := q.key()
	f.mu.Lock()
	if a := f.asked[key]; a != nil {
		f.mu.Unlock()
		<-a.done
		return a.answer, a.err
	}
	a := &asking{done: make(chan struct{})}
	f.asked[key] = a
	f.mu.Unlock()
	a.answer, a.err = f.askAll(q, a)
	f.mu.Lock()
	delete(f.asked, key)
	f.mu.Unlock()
	close(a.done)
	return a.answer, a.err
}

// echo reports whether a query from addr is one that we sent ourselves: the
// server that we forward to is this one.
func (f *front) echo(q *query, addr netip.AddrPort) bool {
	key := q.key()
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.asked[key]
	return a != nil && a.id == q.id && a.local == unmap(addr)
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// askAll returns the first answer that is of use. A server that fails, refuses
// or does not implement it leaves it to the next, as resolvers of C libraries do,
// which now see one server only.
func (f *front) askAll(q *query, a *asking) ([]byte, error) {
	var last []byte
	failed := errNoUpstream
	for _, server := range f.s.servers() {
		answer, err := f.askOne(q, a, server)
		if f.ctx.Err() != nil {
			return nil, f.ctx.Err()
		}
		f.s.note(server, err)
		if err != nil {
			failed = fmt.Errorf("ask %s for %s: %w", server, q.name, err)
			f.s.warn("DNS server does not answer", "server", server, "error", err)
			continue
		}
		switch dnsmessage.RCode(answer[3] & 0xf) {
		case dnsmessage.RCodeServerFailure, dnsmessage.RCodeNotImplemented, dnsmessage.RCodeRefused:
			last = answer
		default:
			return answer, nil
		}
	}
	if last != nil {
		return last, nil
	}
	return nil, failed
}

// askOne asks one server from a socket of its own, so that neither the port nor
// the identity can be foreseen (RFC 5452).
func (f *front) askOne(q *query, a *asking, server netip.AddrPort) ([]byte, error) {
	ctx, cancel := context.WithTimeout(f.ctx, upstreamTimeout)
	defer cancel()
	network := "udp"
	if q.tcp {
		network = "tcp"
	}
	conn, err := f.s.dial(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	id := uint16(rand.Uint32())
	f.identify(a, id, conn)
	msg := q.packet(id)
	if q.tcp {
		return askTCP(conn, q, msg)
	}
	return askUDP(conn, q, msg)
}

// identify keeps by what a query would be known as ours.
func (f *front) identify(a *asking, id uint16, conn net.Conn) {
	local, _ := netip.ParseAddrPort(conn.LocalAddr().String())
	f.mu.Lock()
	defer f.mu.Unlock()
	a.id, a.local = id, unmap(local)
}

// packet returns q as it is sent on: the question, and EDNS0 of our own if the
// client speaks it.
func (q *query) packet(id uint16) []byte {
	msg := make([]byte, headerSize, headerSize+len(q.question)+optSize)
	binary.BigEndian.PutUint16(msg, id)
	msg[2] = bit(q.flags.recursion, 1)
	msg[3] = bit(q.flags.authentic, 1<<5) | bit(q.flags.checkingDisabled, 1<<4)
	msg[5] = 1
	msg = append(msg, q.question...)
	if !q.edns {
		return msg
	}
	msg[11] = 1
	msg = append(msg, 0, 0, byte(dnsmessage.TypeOPT))
	msg = binary.BigEndian.AppendUint16(msg, uint16(min(q.limit, maxUDP)))
	return append(msg, 0, 0, bit(q.flags.dnssec, 1<<7), 0, 0, 0)
}

func bit(set bool, mask byte) byte {
	if set {
		return mask
	}
	return 0
}

// askUDP waits for the answer among what else may come.
func askUDP(conn net.Conn, q *query, msg []byte) ([]byte, error) {
	if _, err := conn.Write(msg); err != nil {
		return nil, err
	}
	// One byte more shows an answer that is longer than it may be.
	buf := make([]byte, maxUDP+1)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		if q.answeredBy(buf[:n], msg) {
			return buf[:n], nil
		}
	}
}

func askTCP(conn net.Conn, q *query, msg []byte) ([]byte, error) {
	if err := writeTCP(conn, msg); err != nil {
		return nil, err
	}
	answer, err := readTCP(conn, 1<<16-1)
	if err != nil {
		return nil, err
	}
	if !q.answeredBy(answer, msg) {
		return nil, errors.New("the answer is not to the question")
	}
	return answer, nil
}

// answeredBy reports whether answer is one to what was sent for q: the same
// identity and question, in whatever case. Some errors come without a question.
func (q *query) answeredBy(answer, sent []byte) bool {
	if len(answer) < headerSize || answer[0] != sent[0] || answer[1] != sent[1] || answer[2]>>3 != 1<<4 {
		return false
	}
	var other query
	if !other.readQuestion(answer) {
		rcode := dnsmessage.RCode(answer[3] & 0xf)
		return len(answer) == headerSize && rcode != dnsmessage.RCodeSuccess && rcode != dnsmessage.RCodeNameError
	}
	return other.name == q.name && other.typ == q.typ && other.class == q.class && len(other.question) == len(q.question)
}

// writeTCP writes a message behind its length, at once.
func writeTCP(w io.Writer, msg []byte) error {
	framed := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(msg)), uint16(len(msg)))
	_, err := w.Write(append(framed, msg...))
	return err
}

// errTooLong is a message that is longer than we read.
var errTooLong = errors.New("message too long")

func readTCP(r io.Reader, most int) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(size[:]))
	if n > most {
		return nil, errTooLong
	}
	msg := make([]byte, n)
	_, err := io.ReadFull(r, msg)
	return msg, err
}
