// Package proxy forwards TCP connections inside of a program.
//
// A [Proxy] listens on any number of addresses and passes each connection on to
// a backend. It is for programs that own both ends of the plumbing: how a
// listener is made and how a backend is reached are functions of the caller, so
// that the two may lie in different network namespaces, on Unix sockets or
// behind a test's pipe.
//
// What a direct connection would show, a forwarded one shows too:
//
//   - the end of one direction (half-close) is passed on, the other goes on;
//   - a connection that is reset or fails on one side is reset on the other, so
//     that a truncated transfer never looks complete;
//   - a client whose backend cannot be reached is reset, not left waiting;
//   - a peer that does not read stops its own counterpart from sending, and
//     nobody else.
//
// No privilege is needed beyond what listening on the addresses takes. An idle
// proxy does not wake up: there are no tickers, and timers only where
// [Proxy.IdleTimeout] asks for them. Each open connection takes two goroutines
// and, while it is spliced, six descriptors.
//
// # When not to use it
//
// It does not look into the bytes: for TLS, HTTP routing or the PROXY protocol
// take a proxy that does. The backend sees the proxy's address, not the
// client's. UDP is not forwarded.
package proxy
