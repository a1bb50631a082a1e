// Package program compiles a process's set-up to a program of system calls.
//
// A Program is a list of steps: a system call, its arguments, where its
// result goes, which errors it may meet and where to go on then. It is laid
// out as a static ELF executable of a few KiB (an interpreter loop of some 300
// bytes, the table of steps, and the strings and structures that they point
// to), written to a sealed memfd and started through Go's own fork and exec.
// The tiny process performs the steps and ends in the execve of the program
// that it was made for.
//
// A Program is pure data until Start: it can be listed, compared and tested
// without any privilege.
//
// # Memory
//
//	0x400000  ELF header, program headers, interpreter (read, execute)
//	0x601000  header, then data, then the steps (read, write)
//
// Addresses are known while the program is written, because data only grows
// and the steps, which refer to each other by index, come last.
//
// # Reports
//
// The process and its parent share a socket pair, whose end in the process is
// close-on-exec. A failing step writes a message {errno, step, 0} and exits
// with status 127. Send and Sync write {0, label, value}; Sync then waits for
// one byte from the parent, and end of file there (the parent died) ends the
// process. Exec writes a last message before the execve, so that end of file
// after it means that the program is running, and end of file before it that
// the process died.
package program
