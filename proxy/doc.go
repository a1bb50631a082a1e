// Package proxy forwards TCP connections and UDP datagrams inside of a program.
//
// A [Proxy] listens on any number of addresses and passes each connection on to
// an endpoint of a [Pool]. It is for programs that own both ends of the plumbing:
// listeners can be handed in ([Proxy.Serve]) and the sockets that connect to
// endpoints come from the caller ([Sockets]), so that the two may lie in different
// network namespaces. [ForwardUDP] does the same for UDP.
//
// What a direct connection would show, a forwarded one shows too:
//
//   - the end of one direction (half-close) is passed on, the other goes on;
//   - a connection that is reset or fails on one side is reset on the other, so
//     that a truncated transfer never looks complete, as soon as that has what
//     came before, and its end if that came;
//   - a client whose endpoint cannot be reached is given to the next one, before
//     anything of what it sent was taken, and reset when there is none;
//   - a peer that does not read stops its own counterpart from sending, and
//     nobody else.
//
// # How it works
//
// A few event loops share the connections of all proxies of a process, each with
// an epoll instance of its own, over raw non-blocking sockets. A connection costs
// a few hundred bytes and, while it is idle, nothing else: no goroutine, timer or
// buffer. Small messages are read and written at once, through a buffer that a
// loop's connections share; bulk is spliced, through pipes that are lent for as
// long as there is some. System calls that cannot block bypass Go's scheduler; a
// loop that has nothing to do for a few milliseconds waits as an ordinary
// goroutine.
//
// While it is busy, a loop takes the place of a running goroutine (one of
// runtime.GOMAXPROCS), also for the few milliseconds that it waits for more. By
// default one place is left to the rest of the program; where all are taken by
// loops ([Proxy.Loops]), other goroutines wait for up to 10 ms at times of high
// load.
//
// An idle proxy does not wake up: there are no tickers, and timers only where
// [Proxy.IdleTimeout] asks for them. Each loop has four descriptors and up to
// four pipes, each open connection two.
//
// Where the host's congestion control is BBR, connections over loopback use Reno:
// pacing is for networks, and would take half of the throughput.
//
// No privilege is needed beyond what listening on the addresses takes. Linux 5.11
// or newer; without epoll_pwait2 it works more slowly.
//
// # When not to use it
//
// It does not look into the bytes: for TLS or HTTP routing take a proxy that does.
// By default the endpoint sees the proxy's address, not the client's; a header of
// the PROXY protocol ([Endpoint.Header]) or the client's address
// ([Endpoint.Transparent]) tell it more.
package proxy
