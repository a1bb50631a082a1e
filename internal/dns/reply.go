package dns

import (
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// optSize is the size of an OPT record without options.
const optSize = 11

// Bits of the header, in its bytes 2 and 3.
const (
	flagTC = 1 << 1
	flagRA = 1 << 7
)

// reply is an answer in the making. Records beyond the limit are left out, which
// TC tells the client, unless they are additional.
type reply struct {
	q       *query
	b       dnsmessage.Builder
	rcode   dnsmessage.RCode
	records int  // written
	full    bool // one did not fit
	cut     bool // TC
	more    bool // in the additional section
	err     error
}

// newReply begins an answer to q in buf, whose length is 0.
func newReply(q *query, buf []byte, rcode dnsmessage.RCode, authoritative bool) *reply {
	r := &reply{q: q, rcode: rcode}
	r.b = dnsmessage.NewBuilder(buf, dnsmessage.Header{
		ID: q.id, Response: true, OpCode: q.opcode, Authoritative: authoritative,
		RecursionDesired: q.flags.recursion, RecursionAvailable: true,
		CheckingDisabled: q.flags.checkingDisabled, RCode: rcode & 0xf,
	})
	r.b.EnableCompression()
	if q.question == nil {
		return r
	}
	// In lower case, so that our names find their ends in it for compression;
	// finish puts the question there as it came.
	name, err := wireName(q.name)
	r.fail(err)
	r.fail(r.b.StartQuestions())
	r.fail(r.b.Question(dnsmessage.Question{Name: name, Type: q.typ, Class: q.class}))
	r.fail(r.b.StartAnswers())
	return r
}

// wireName returns a name as the message package has it. The package looks at
// the labels when it writes it.
func wireName(name string) (dnsmessage.Name, error) {
	var buf [256]byte
	return appendedName(append(append(buf[:0], name...), '.'))
}

// joinName returns the name of some labels.
func joinName(labels ...string) (dnsmessage.Name, error) {
	var buf [256]byte
	text := buf[:0]
	for _, l := range labels {
		if l != "" {
			text = append(append(text, l...), '.')
		}
	}
	return appendedName(text)
}

func appendedName(text []byte) (n dnsmessage.Name, err error) {
	if len(text) > maxName+1 {
		return n, &nameError{string(text)}
	}
	n.Length = uint8(copy(n.Data[:], text))
	return n, nil
}

// nameError is a name in the zone that cannot be one.
type nameError struct{ name string }

func (e *nameError) Error() string {
	return "name " + strings.TrimSuffix(e.name, ".") + ": longer than 253 bytes"
}

// fail keeps the first error.
func (r *reply) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// add writes one record if it fits, and nothing behind one that did not.
func (r *reply) add(write func(*dnsmessage.Builder) error) {
	if r.err != nil || r.full {
		return
	}
	before := r.b
	if r.err = write(&r.b); r.err != nil {
		return
	}
	if r.size() > r.room() {
		// The compression keeps offsets of the record that goes, which is no
		// harm: nothing with a name follows.
		r.b, r.full, r.cut = before, true, r.cut || !r.more
		return
	}
	r.records++
}

// size returns the length so far.
func (r *reply) size() int {
	b := r.b
	msg, _ := b.Finish()
	return len(msg)
}

func (r *reply) room() int {
	if r.q.edns {
		return r.q.limit - optSize
	}
	return r.q.limit
}

// authority begins the next section.
func (r *reply) authority() {
	r.fail(r.b.StartAuthorities())
}

// additional begins the last section, which needs not be whole.
func (r *reply) additional() {
	r.more = true
	r.fail(r.b.StartAdditionals())
}

// finish returns the message.
func (r *reply) finish() ([]byte, error) {
	if r.q.edns {
		if !r.more {
			r.additional()
		}
		var h dnsmessage.ResourceHeader
		r.fail(h.SetEDNS0(maxUDP, r.rcode, r.q.flags.dnssec))
		r.fail(r.b.OPTResource(h, dnsmessage.OPTResource{}))
	}
	msg, err := r.b.Finish()
	r.fail(err)
	if r.err != nil {
		return nil, r.err
	}
	copy(msg[headerSize:], r.q.question)
	if r.cut {
		msg[2] |= flagTC
	}
	return msg, nil
}

// failure returns an answer without records.
func (q *query) failure(buf []byte, rcode dnsmessage.RCode) []byte {
	msg, err := newReply(q, buf, rcode, false).finish()
	if err != nil {
		return nil // cannot be: what was read can be written
	}
	return msg
}
