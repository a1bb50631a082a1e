package netlink

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// align is the boundary at which messages and attributes begin.
const align = 4

// Message is a request under construction.
type Message struct {
	Type  uint16
	Flags uint16 // beside NLM_F_REQUEST, which each has
	data  []byte // its family's header and attributes
}

// New begins a message with its family's header, such as a struct ifinfomsg.
func New(typ, flags uint16, header []byte) *Message {
	m := &Message{Type: typ, Flags: flags | unix.NLM_F_REQUEST}
	return m.Append(header)
}

// Append adds bytes as they are, and what it takes to the next boundary.
func (m *Message) Append(b []byte) *Message {
	m.data = pad(append(m.data, b...))
	return m
}

// Attr adds an attribute.
func (m *Message) Attr(typ uint16, value []byte) *Message {
	m.data = binary.NativeEndian.AppendUint16(m.data, uint16(unix.SizeofNlAttr+len(value)))
	m.data = binary.NativeEndian.AppendUint16(m.data, typ)
	return m.Append(value)
}

// String adds a text, which the kernel wants with a zero at its end.
func (m *Message) String(typ uint16, s string) *Message { return m.Attr(typ, append([]byte(s), 0)) }

// Uint8 adds a byte.
func (m *Message) Uint8(typ uint16, v uint8) *Message { return m.Attr(typ, []byte{v}) }

// Uint32 adds a number in the machine's order.
func (m *Message) Uint32(typ uint16, v uint32) *Message {
	return m.Attr(typ, binary.NativeEndian.AppendUint32(nil, v))
}

// Big32 adds a number in network order, as netfilter wants it.
func (m *Message) Big32(typ uint16, v uint32) *Message {
	return m.Attr(typ, binary.BigEndian.AppendUint32(nil, v))
}

// Nest adds an attribute that holds what inside adds.
func (m *Message) Nest(typ uint16, inside func()) *Message {
	start := len(m.data)
	m.Attr(typ|unix.NLA_F_NESTED, nil)
	inside()
	binary.NativeEndian.PutUint16(m.data[start:], uint16(len(m.data)-start))
	return m
}

// appendTo adds the message with its header to b.
func (m *Message) appendTo(b []byte, seq uint32) []byte {
	b = binary.NativeEndian.AppendUint32(b, uint32(unix.SizeofNlMsghdr+len(m.data)))
	b = binary.NativeEndian.AppendUint16(b, m.Type)
	b = binary.NativeEndian.AppendUint16(b, m.Flags)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0) // the kernel knows who sends
	return append(b, m.data...)
}

func pad(b []byte) []byte {
	for len(b)%align != 0 {
		b = append(b, 0)
	}
	return b
}
