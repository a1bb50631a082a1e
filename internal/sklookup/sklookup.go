// Package sklookup leads connections to chosen addresses of a network namespace
// to sockets that are bound elsewhere, by a BPF program that the kernel asks
// before it looks for a listening socket (BPF_PROG_TYPE_SK_LOOKUP, Linux 5.9).
//
// A socket that listens on 127.96.1.1:80 keeps everybody else from listening on
// 0.0.0.0:80, and cannot be made while somebody does: under Kubernetes' names
// this would be every web server behind a service of its own port. With a table
// of this package the two have nothing to do with each other.
//
// It takes CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN, in the initial user
// namespace. What a table leads goes the ordinary way again when the table is
// closed, or the process ends.
package sklookup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"

	"github.com/peapod/peapod/internal/bpf"
	"golang.org/x/sys/unix"
)

// Protocols that a table leads.
const (
	TCP = unix.IPPROTO_TCP
	UDP = unix.IPPROTO_UDP
)

// maxEntries of a table: each address, port and protocol is one. The kernel
// takes 16 bytes for each from the beginning.
const maxEntries = 1 << 13

// Table is of one network namespace.
type Table struct {
	sockets int // a map from address, port and protocol to sockets
	link    int
}

// Open makes an empty table of a network namespace. What arrives for an address
// in the range and is led nowhere is refused, whoever listens there; but what
// arrives for the address but, IPv4, if that is one, goes its ordinary way. A
// namespace may have several tables.
func Open(netns *os.File, within netip.Prefix, but netip.Addr) (_ *Table, err error) {
	if !within.IsValid() || but.IsValid() && !(but.Is4() && within.Contains(but)) {
		return nil, fmt.Errorf("there is no range %s but %s", within, but)
	}
	t := &Table{sockets: -1, link: -1}
	defer func() {
		if err != nil {
			t.Close()
		}
	}()
	const value = 8
	if t.sockets, err = bpf.NewMap(unix.BPF_MAP_TYPE_SOCKHASH, keySize, value, maxEntries); err != nil {
		return nil, fmt.Errorf("make a map of sockets: %w", explain(err))
	}
	program, err := bpf.Load(unix.BPF_PROG_TYPE_SK_LOOKUP, unix.BPF_SK_LOOKUP, code(t.sockets, within, but))
	if err != nil {
		return nil, fmt.Errorf("load the program that leads connections: %w", explain(err))
	}
	defer unix.Close(program)
	err = control(netns, func(fd int) (err error) {
		t.link, err = bpf.Link(fd, program, unix.BPF_SK_LOOKUP)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("attach the program that leads connections: %w", explain(err))
	}
	return t, nil
}

func explain(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w (it takes CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN)", err)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("%w (it takes Linux 5.9 with CONFIG_BPF_SYSCALL)", err)
	}
	return err
}

// Close lets everything go the ordinary way again.
func (t *Table) Close() {
	for _, fd := range []int{t.link, t.sockets} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	t.link, t.sockets = -1, -1
}

// Lead leads what arrives at an address, by TCP or UDP, to a socket of the same
// network namespace: one that listens, or that is bound, as an ordinary TCP or
// UDP socket (not one of Multipath TCP, as package net makes by default). It
// may be led to several times. It is there until it is closed.
func (t *Table) Lead(protocol int, addr netip.AddrPort, socket syscall.Conn) error {
	err := control(socket, func(fd int) error {
		return bpf.Update(t.sockets, key(protocol, addr), binary.LittleEndian.AppendUint64(nil, uint64(fd)))
	})
	if err != nil {
		return fmt.Errorf("lead %s to a socket: %w", addr, err)
	}
	return nil
}

// Drop refuses what arrives at an address from now on.
func (t *Table) Drop(protocol int, addr netip.AddrPort) error {
	err := bpf.Delete(t.sockets, key(protocol, addr))
	if err != nil && err != unix.ENOENT {
		return fmt.Errorf("lead %s nowhere: %w", addr, err)
	}
	return nil
}

func control(c syscall.Conn, f func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	if e := raw.Control(func(fd uintptr) { err = f(int(fd)) }); e != nil {
		return e
	}
	return err
}
