// Package networks gives a network namespace its network.
//
//   - [None] leaves it with what it has: its loopback interface.
//   - [Host] is for who uses the host's namespace: there is nothing to do.
//   - [Bridge] connects it to the others on a bridge of the host, and to the
//     world behind the host's own addresses.
//   - [Auto] is a bridge where the kernel can have one.
//   - [CNI] lets the plugins of a CNI configuration do it.
//
// [Parse] reads which one is meant, [Attach] does it, [Attachment.Detach]
// undoes it, and [Release] does that for a process that died.
//
// # The host
//
// The host is the network namespace of the calling thread. Its bridge, with the
// gateway's addresses, is made for the first pod and removed with the last one.
// What else is changed: IP forwarding is switched on and stays so, since others
// may rely on it by then, and a table of nftables that belongs to the bridge hides
// the pods' addresses behind the host's (masquerading) and keeps others from
// reaching the pods through the host. Tables of others are left alone, so that a
// firewall which drops what is forwarded has to be told about the bridge.
//
// # Addresses
//
// Each pod on a bridge has a number there; its addresses, its hardware address
// and the name of its link on the host come of it. Numbers are leased in a
// directory, under a lock, and the kernel, which has a link's name only once, has
// the last word: several such directories can share a bridge. A lease lasts as
// long as the process that attached the pod lives or the pod's link exists.
//
// # Services
//
// [AddLocal] and [HoldLocal] make addresses of services local, [OpenRedirect] leads
// what is sent to them to sockets that are bound to other ports, and
// [AllowTransparent] brings back replies to clients elsewhere.
//
// # Privileges
//
// CAP_NET_ADMIN and CAP_SYS_ADMIN in the user namespaces that own the host's
// network namespace and the pod's. The kernel needs bridge, veth and nf_tables
// with masquerading; it loads these modules by itself where it may.
package networks
