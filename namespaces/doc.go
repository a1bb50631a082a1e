// Package namespaces makes, opens and enters Linux namespaces from Go threads.
//
// It serves programs that hold the namespaces of a group of processes by
// descriptor (no process needs to stay alive for them), and that own sockets
// in several network namespaces at once:
//
//   - [New] and [Options.New] make network, ipc and uts namespaces and set them up;
//   - [Do] runs a function inside a namespace, on a thread of its own;
//   - [Socket], [Sockets], [Dial] and [Listen] make sockets inside a network
//     namespace, which work from every thread afterwards;
//   - [Open], [KindOf] and [Same] tell what a descriptor refers to.
//
// No function changes the namespaces of its caller: what has to happen inside a
// namespace happens on a thread that no other goroutine can see.
//
// # Privileges
//
// Making or entering a namespace takes CAP_SYS_ADMIN in the user namespace of
// the caller, and for entering also in the one that owns the namespace. Root
// has it; an unprivileged program has it after being started in a user
// namespace of its own. Open, KindOf and Same need no privilege beyond reading
// the file. /proc must be mounted; kernel 4.11 or later.
//
// # When not to use it
//
// To start a process in a namespace, hand the descriptor to whatever starts it
// (clone flags, or setns in the child): forking from inside of Do works but
// holds a thread for as long. Mount, user, pid and time namespaces cannot be
// entered by one thread of a Go program, so Do refuses them.
package namespaces
