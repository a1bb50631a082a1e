package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Conn is a connection to one of the kernel's netlink families. Its methods
// must not be called at the same time.
type Conn struct {
	fd  int
	seq uint32
	buf []byte
}

// Error is the kernel's refusal of a message.
type Error struct {
	Index int        // of the message among those that were sent together
	Errno unix.Errno // why
	Text  string     // what the kernel says about it, or ""
}

func (e *Error) Error() string {
	if e.Text == "" {
		return e.Errno.Error()
	}
	return fmt.Sprintf("%v (the kernel says: %s)", e.Errno, e.Text)
}

// Unwrap gives the errno.
func (e *Error) Unwrap() error { return e.Errno }

// bufferSize is what a dump comes in: the kernel fills up to 32 KiB at a time.
const bufferSize = 32 << 10

// Open connects to a family (NETLINK_ROUTE, NETLINK_NETFILTER…) of the calling
// thread's network namespace.
func Open(family int) (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, family)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	return Adopt(fd), nil
}

// Adopt makes a connection of a netlink socket, which is the connection's from then
// on. It belongs to the network namespace in which it was made. Who sends may have
// to have the privilege there as well as who made it (netlink_capable of the kernel).
func Adopt(fd int) *Conn {
	// Answers without a copy of the question; words beside the number; dumps
	// of what was asked for only. Kernels that know none of these work too.
	for _, o := range []int{unix.NETLINK_CAP_ACK, unix.NETLINK_EXT_ACK, unix.NETLINK_GET_STRICT_CHK} {
		unix.SetsockoptInt(fd, unix.SOL_NETLINK, o, 1)
	}
	return &Conn{fd: fd}
}

// Close ends the connection.
func (c *Conn) Close() error { return os.NewSyscallError("close", unix.Close(c.fd)) }

// Do sends the messages by one system call; the kernel performs them in order.
// A refused one keeps none of the others from being performed, other than in a
// batch of netfilter. The error is an [*Error] about the first that was refused.
func (c *Conn) Do(list ...*Message) error {
	for _, m := range list {
		m.Flags |= unix.NLM_F_ACK
	}
	return c.exchange(list, nil)
}

// Batch is Do for netfilter, which performs all of the messages or none.
// subsystem is NFNL_SUBSYS_….
func (c *Conn) Batch(subsystem uint16, list ...*Message) error {
	mark := func(typ uint16) *Message {
		return New(typ, 0, []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, byte(subsystem >> 8), byte(subsystem)})
	}
	for _, m := range list {
		m.Flags |= unix.NLM_F_ACK
	}
	framed := slices.Concat([]*Message{mark(unix.NFNL_MSG_BATCH_BEGIN)}, list, []*Message{mark(unix.NFNL_MSG_BATCH_END)})
	err := c.exchange(framed, nil)
	if e, ok := errors.AsType[*Error](err); ok {
		e.Index = min(max(e.Index-1, 0), len(list)-1) // what concerns the batch is said of its begin
	}
	return err
}

// Get sends a question and hands over each message of the answer, without
// netlink's own header.
func (c *Conn) Get(m *Message, each func(body []byte)) error {
	if m.Flags&unix.NLM_F_DUMP != unix.NLM_F_DUMP {
		m.Flags |= unix.NLM_F_ACK // tells the end of the answer
	}
	return c.exchange([]*Message{m}, each)
}

// exchange sends the messages and takes the answers until each message that
// asks for one has its own.
func (c *Conn) exchange(list []*Message, each func([]byte)) error {
	first := c.seq + 1
	var out []byte
	pending := 0
	for _, m := range list {
		c.seq++
		out = m.appendTo(out, c.seq)
		if m.Flags&(unix.NLM_F_ACK|unix.NLM_F_DUMP) != 0 {
			pending++
		}
	}
	if err := unix.Sendto(c.fd, out, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("sendto", err)
	}
	refused := c.receive(first, len(list), pending, each)
	// Messages that were performed after the refused one have their answers
	// still in the socket. Nobody waits for them.
	if refused != nil {
		c.discard()
	}
	return refused
}

// receive takes the answers to the messages numbered from first on.
func (c *Conn) receive(first uint32, sent, pending int, each func([]byte)) error {
	if c.buf == nil {
		c.buf = make([]byte, bufferSize)
	}
	for pending > 0 {
		// The kernel has answered already, or goes on with a dump in here.
		n, _, err := unix.Recvfrom(c.fd, c.buf, unix.MSG_DONTWAIT|unix.MSG_TRUNC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return os.NewSyscallError("recvfrom", err)
		}
		if n > len(c.buf) {
			return fmt.Errorf("an answer of %d bytes: %w", n, unix.EMSGSIZE)
		}
		for h, body := range messages(c.buf[:n]) {
			index := int(h.seq - first)
			if index < 0 || index >= sent {
				continue // of an earlier exchange
			}
			switch {
			case h.flags&unix.NLM_F_DUMP_INTR != 0:
				return &Error{Index: index, Errno: unix.EINTR, Text: "what was listed changed meanwhile"}
			case h.typ == unix.NLMSG_ERROR || h.typ == unix.NLMSG_DONE:
				if err := verdict(h, body, index); err != nil {
					return err
				}
				pending--
			case each != nil:
				each(body)
			}
		}
	}
	return nil
}

// discard empties the socket.
func (c *Conn) discard() {
	for {
		if _, _, err := unix.Recvfrom(c.fd, c.buf, unix.MSG_DONTWAIT); err != nil && err != unix.EINTR {
			return
		}
	}
}

// verdict reads an NLMSG_ERROR, which is the kernel's yes as well, or the end
// of a dump.
func verdict(h header, body []byte, index int) error {
	code := int32(Number(body))
	if code >= 0 {
		return nil
	}
	e := &Error{Index: index, Errno: unix.Errno(-code)}
	skip := 4
	if h.typ == unix.NLMSG_ERROR {
		skip += unix.SizeofNlMsghdr // of the message in question
		if h.flags&unix.NLM_F_CAPPED == 0 && len(body) >= 8 {
			skip = 4 + aligned(int(binary.NativeEndian.Uint32(body[4:])))
		}
	}
	if h.flags&unix.NLM_F_ACK_TLVS != 0 && skip <= len(body) && skip > 0 {
		for typ, value := range Attributes(body[skip:]) {
			if typ == nlmsgerrAttrMsg {
				e.Text = Text(value)
			}
		}
	}
	return e
}

// nlmsgerrAttrMsg is NLMSGERR_ATTR_MSG of linux/netlink.h.
const nlmsgerrAttrMsg = 1
