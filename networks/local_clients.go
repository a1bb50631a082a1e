package networks

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/netlink"
)

// A client whose connection is on its way when a range stops being local hears
// nothing any more: the refusal would come from an address that is nobody's, and
// where its own packets would have to go again there is no route, which the kernel
// keeps to itself until it gives up after two minutes. (Who begins later is told
// at once that there is no route.)

// Parts of linux/inet_diag.h: struct inet_diag_sockid, which is two ports, two
// addresses of 16 bytes, the interface and a cookie; inet_diag_req_v2 and
// inet_diag_msg begin with 8 and 4 other bytes.
const (
	sizeofSocketID = 48
	diagRequest    = 8
	diagAnswer     = 4
	diagSynSent    = 1 << 2 // TCP_SYN_SENT
)

// abortClients ends the connections to a range that wait for an answer, with
// ECONNABORTED. It takes CAP_NET_ADMIN, and a kernel with CONFIG_INET_DIAG_DESTROY,
// as distributions have; without that they go on waiting.
func abortClients(p netip.Prefix) error {
	c, err := netlink.Open(unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} { // IPv4's may be of either
		var waiting [][]byte
		err := c.Get(diagMessage(unix.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP, family, make([]byte, sizeofSocketID)), func(body []byte) {
			if id, ok := waitsFor(body, p); ok {
				waiting = append(waiting, id)
			}
		})
		for _, id := range waiting {
			failure := c.Do(diagMessage(unix.SOCK_DESTROY, 0, family, id))
			if !errors.Is(failure, unix.ENOENT) { // it was answered meanwhile
				err = errors.Join(err, failure)
			}
		}
		if err != nil && !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return nil
}

// diagMessage is a struct inet_diag_req_v2.
func diagMessage(typ, flags uint16, family byte, id []byte) *netlink.Message {
	b := []byte{family, unix.IPPROTO_TCP, 0, 0}
	b = binary.NativeEndian.AppendUint32(b, diagSynSent)
	return netlink.New(typ, flags, append(b, id...))
}

// waitsFor reads a struct inet_diag_msg, and tells whether it is of a connection
// to the range.
func waitsFor(body []byte, p netip.Prefix) (id []byte, ok bool) {
	if len(body) < diagAnswer+sizeofSocketID {
		return nil, false
	}
	id = append(id, body[diagAnswer:diagAnswer+sizeofSocketID]...)
	to := id[4+16 : 4+32]
	addr := netip.AddrFrom4([4]byte(to))
	if body[0] == unix.AF_INET6 {
		addr = netip.AddrFrom16([16]byte(to)).Unmap()
	}
	return id, p.Contains(addr)
}
