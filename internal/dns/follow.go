package dns

import (
	"errors"
	"fmt"

	"golang.org/x/net/dns/dnsmessage"
)

// maxAliases bounds a chain of services that are names of each other.
const maxAliases = 8

// chain is a row of names, each an alias for the next.
type chain []string

// follow answers q, whose name stands for n, an alias: with the chain, and with
// what the name at its end has, here or elsewhere.
func (f *front) follow(z Zone, q *query, n node) ([]byte, error) {
	names := chain{q.name}
	for range maxAliases {
		end := canonical(n.service.ExternalName)
		names = append(names, end)
		rest, own := below(end, f.domain)
		if !own {
			return f.abroad(q, names, end)
		}
		if n = find(z, rest); !n.alias() {
			return f.home(q, names, n)
		}
	}
	return nil, fmt.Errorf("%s: more than %d external names in a row", q.name, maxAliases)
}

// write begins an answer with the chain.
func (c chain) write(q *query, rcode dnsmessage.RCode) *reply {
	r := newReply(q, nil, rcode, true)
	for i, to := range c[1:] {
		owner, err := wireName(c[i])
		r.fail(err)
		alias(r, dnsmessage.ResourceHeader{Name: owner, Class: dnsmessage.ClassINET, TTL: ttl}, to)
	}
	return r
}

// home ends a chain in our own domain.
func (f *front) home(q *query, names chain, n node) ([]byte, error) {
	rcode := dnsmessage.RCodeSuccess
	if n.kind == nothing {
		rcode = dnsmessage.RCodeNameError // RFC 6604: that of the last name
	}
	r := names.write(q, rcode)
	owner, err := wireName(names[len(names)-1])
	r.fail(err)
	before := r.records
	f.responder.write(r, n, owner)
	if r.records == before && !r.cut {
		f.negative(r, f.domain)
	}
	return r.finish()
}

// abroad ends a chain with what other servers say of its last name.
func (f *front) abroad(q *query, names chain, end string) ([]byte, error) {
	answer, err := f.askFor(q, end)
	if err != nil {
		return nil, err
	}
	rcode := dnsmessage.RCode(answer[3] & 0xf)
	if rcode != dnsmessage.RCodeSuccess && rcode != dnsmessage.RCodeNameError {
		return nil, fmt.Errorf("%s, an alias for %s: %s", q.name, end, rcode)
	}
	r := names.write(q, rcode)
	r.fail(copyAnswers(r, answer))
	return r.finish()
}

// askFor asks for another name of q's type. An answer that is cut is asked for
// again over TCP: the client could ask for our answer only, not for that one.
func (f *front) askFor(q *query, name string) ([]byte, error) {
	other := *q
	question, ok := appendName(nil, name)
	if !ok {
		return nil, fmt.Errorf("%s, an alias for %q: not a domain name", q.name, name)
	}
	other.question = append(question, q.question[len(q.question)-4:]...)
	other.name = name
	answer, err := f.ask(&other)
	if err == nil && answer[2]&flagTC != 0 && !other.tcp {
		other.tcp = true
		answer, err = f.ask(&other)
	}
	return answer, err
}

// copyAnswers writes the records that belong to q: of its type, or aliases.
func copyAnswers(r *reply, answer []byte) error {
	var p dnsmessage.Parser
	if _, err := p.Start(answer); err != nil {
		return err
	}
	if err := p.SkipAllQuestions(); err != nil {
		return err
	}
	for {
		h, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Class != dnsmessage.ClassINET || h.Type != r.q.typ && h.Type != dnsmessage.TypeCNAME {
			if err := p.SkipAnswer(); err != nil {
				return err
			}
			continue
		}
		record, err := p.Answer()
		if err != nil {
			return err
		}
		r.add(func(b *dnsmessage.Builder) error { return writeRecord(b, record) })
	}
}

// writeRecord writes a record that was read.
func writeRecord(b *dnsmessage.Builder, record dnsmessage.Resource) error {
	switch body := record.Body.(type) {
	case *dnsmessage.AResource:
		return b.AResource(record.Header, *body)
	case *dnsmessage.AAAAResource:
		return b.AAAAResource(record.Header, *body)
	case *dnsmessage.CNAMEResource:
		return b.CNAMEResource(record.Header, *body)
	case *dnsmessage.MXResource:
		return b.MXResource(record.Header, *body)
	case *dnsmessage.TXTResource:
		return b.TXTResource(record.Header, *body)
	case *dnsmessage.SRVResource:
		return b.SRVResource(record.Header, *body)
	case *dnsmessage.UnknownResource:
		return b.UnknownResource(record.Header, *body)
	}
	// The others have names that may be compressed in the answer, and belong
	// to the ends of zones: no client asks a service for them.
	return nil
}
