// Package dns is the DNS server that the containers of a pod ask. It answers the
// names of services and pods as the Kubernetes DNS specification has them, and
// forwards all others to the host's resolvers.
//
// The sockets are made by the caller, in the pod's network namespace; those to
// other servers are of the process's own, so that a resolver on the host's
// loopback (systemd-resolved at 127.0.0.53) is reached. No privilege is needed.
// [Server.Shutdown] answers what has come, also what the kernel has queued.
//
// # Names
//
// Below the domain, with a time to live of 5 seconds:
//
//	service.namespace.svc               A, AAAA; CNAME for an external name
//	_port._protocol.service.namespace.svc   SRV; also at the service itself
//	hostname.service.namespace.svc      A, AAAA, SRV of an endpoint
//	10-0-0-1.namespace.pod              A, AAAA
//	dns-version                         TXT
//
// and PTR records for the addresses of services and of the endpoints of headless
// ones. Addresses come in another order each time. Whatever else is below the
// domain does not exist (NXDOMAIN with SOA) and is never forwarded, nor are the
// names of 127/8. An external name is resolved where it belongs; that it cannot
// be is an error (SERVFAIL), not an empty answer.
//
// Names are whole: "service" alone is found because a pod's resolv.conf, which
// [ClusterFirst] writes, has domains to search.
//
// # Messages
//
// Answers over UDP fit what the client takes (512 bytes, or what EDNS0 says up
// to 1232); what does not fit is left out and TC set. A TCP connection takes any
// number of queries, which are answered as soon as each can be. ANY is answered
// with as little as RFC 8482 allows, zone transfers and classes other than IN
// are refused, and answers are never answered.
//
// A query that is forwarded has a socket, and with it a port, and an identity of
// its own. A server that is silent for 2 seconds, fails or refuses is followed by
// the next; an answer is passed on as it is. Queries that ask the same at the
// same time are asked once. Nothing is kept beyond that: there is no cache.
//
// # Bounds
//
// 1000 queries wait for other servers, 100 TCP connections are open, for 10
// seconds without a query. Names of the cluster are answered by the goroutine
// that reads the socket. A server that nobody asks does not wake up: there are no
// tickers, and timers only while a query or a connection is open.
//
// # When not to use it
//
// It does not validate DNSSEC, knows no zone files, and keeps no answers: it is
// no resolver for a network. Pods that share the host's network namespace need
// none.
package dns
