// Package netlink speaks the kernel's netlink protocol, netlink(7): messages
// with attributes, many of them sent by one system call, and a word of the
// kernel on each.
//
// It knows no message by name: what is put into one is its caller's. A [Conn]
// belongs to the network namespace of the thread that opened it and works from
// every thread afterwards. A message that asks for a change is answered before
// the system call that sent it returns, so nothing here ever waits.
package netlink
