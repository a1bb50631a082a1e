package dns

import (
	"encoding/binary"
	"errors"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// minUDP is what every client takes, maxUDP what we send at most: it fits
	// IPv6's smallest MTU (DNS Flag Day 2020).
	minUDP, maxUDP = 512, 1232
	// maxQuery is the longest query that is read. The longest name takes 255
	// bytes; padding (RFC 8467) comes in steps of 128.
	maxQuery = 4096
	// headerSize is the size of a message's header.
	headerSize = 12

	rcodeBadVersion = dnsmessage.RCode(16) // RFC 6891

	typeIXFR = dnsmessage.Type(251)
)

// query is one question that came.
type query struct {
	id       uint16
	opcode   dnsmessage.OpCode
	flags    flags
	question []byte // name, type and class as they came; nil: there is none
	name     string // as readName has it
	typ      dnsmessage.Type
	class    dnsmessage.Class
	edns     bool
	limit    int // of the answer, in bytes
	tcp      bool
}

// flags are those that a forwarder passes on.
type flags struct {
	recursion        bool // RD
	authentic        bool // AD
	checkingDisabled bool // CD
	dnssec           bool // DO
}

// drop is the rcode for what gets no answer.
const drop = dnsmessage.RCode(0xffff)

// parse reads a query. Where the rcode is not success it is the answer. The
// query refers to msg.
func (q *query) parse(msg []byte, tcp bool) dnsmessage.RCode {
	*q = query{tcp: tcp, limit: minUDP}
	if tcp {
		q.limit = 1<<16 - 1
	}
	var p dnsmessage.Parser
	h, err := p.Start(msg)
	// An answer is never answered: two servers could go on for ever.
	if err != nil || h.Response {
		return drop
	}
	q.id, q.opcode = h.ID, h.OpCode
	q.flags = flags{recursion: h.RecursionDesired, authentic: h.AuthenticData, checkingDisabled: h.CheckingDisabled}
	if h.OpCode != 0 {
		return dnsmessage.RCodeNotImplemented
	}
	if !q.readQuestion(msg) {
		return dnsmessage.RCodeFormatError
	}
	if rcode := q.readOptions(&p); rcode != dnsmessage.RCodeSuccess {
		return rcode
	}
	if q.class != dnsmessage.ClassINET || q.typ == dnsmessage.TypeAXFR || q.typ == typeIXFR {
		return dnsmessage.RCodeRefused
	}
	return dnsmessage.RCodeSuccess
}

// readQuestion reads the one question that a query has (RFC 9619).
func (q *query) readQuestion(msg []byte) bool {
	if binary.BigEndian.Uint16(msg[4:]) != 1 {
		return false
	}
	n, name := readName(msg[headerSize:])
	end := headerSize + n + 4
	if n == 0 || end > len(msg) {
		return false
	}
	q.name, q.question = name, msg[headerSize:end:end]
	q.typ = dnsmessage.Type(binary.BigEndian.Uint16(msg[end-4:]))
	q.class = dnsmessage.Class(binary.BigEndian.Uint16(msg[end-2:]))
	return true
}

// readOptions reads EDNS0 (RFC 6891). Its options are for the next hop only, and
// we know none.
func (q *query) readOptions(p *dnsmessage.Parser) dnsmessage.RCode {
	for _, skip := range []func() error{p.SkipAllQuestions, p.SkipAllAnswers, p.SkipAllAuthorities} {
		if skip() != nil {
			return dnsmessage.RCodeFormatError
		}
	}
	version := uint8(0)
	for {
		h, err := p.AdditionalHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			break
		}
		if err != nil || p.SkipAdditional() != nil {
			return dnsmessage.RCodeFormatError
		}
		if h.Type != dnsmessage.TypeOPT {
			continue
		}
		if q.edns || h.Name.Length != 1 {
			return dnsmessage.RCodeFormatError
		}
		q.edns, version = true, uint8(h.TTL>>16)
		q.flags.dnssec = h.TTL&(1<<15) != 0
		if !q.tcp {
			q.limit = min(max(int(h.Class), minUDP), maxUDP)
		}
	}
	if version != 0 {
		return rcodeBadVersion
	}
	return dnsmessage.RCodeSuccess
}

// clone returns a copy that refers to nothing that is used again.
func (q *query) clone() *query {
	c := *q
	c.question = append([]byte(nil), q.question...)
	return &c
}
