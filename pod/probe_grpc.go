package pod

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// A gRPC probe asks grpc.health.v1.Health/Check by HTTP/2 without TLS, as the
// kubelet does (github.com/grpc/grpc/blob/master/doc/health-checking.md). It is one
// call on one connection, of which the client's half is a few fixed frames: the gRPC
// library would make the program several MB larger.

// grpcServing is the status of a service that serves.
const grpcServing = 1

// grpc is well when the answer says that the service serves.
func (p *probing) grpc(ctx context.Context, a *GRPCAction) (outcome, error) {
	c, to, err := p.dial(ctx, "", PortRef{Number: a.Port})
	what := fmt.Sprintf("grpc health check of %s", to)
	if a.Service != "" {
		what += " service " + strconv.Quote(a.Service)
	}
	if err != nil {
		return bad("%s: %v", what, reason(ctx, err)), nil
	}
	status, err := a.exchange(ctx, c, to)
	switch {
	case err != nil:
		return bad("%s: %v", what, reason(ctx, err)), nil
	case status != grpcServing:
		return bad("%s: %s", what, servingStatus(status)), nil
	}
	return outcome{ok: true}, nil
}

// exchange makes the call and returns the status in its answer.
func (a *GRPCAction) exchange(ctx context.Context, c net.Conn, to netip.AddrPort) (uint64, error) {
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	_, unsent := c.Write(grpcCall(to.String(), a.Service))
	status, err := readGRPC(c)
	if err != nil && unsent != nil {
		err = unsent
	}
	return status, err
}

// servingStatus is the name of a HealthCheckResponse.ServingStatus.
func servingStatus(n uint64) string {
	switch n {
	case 0:
		return "status UNKNOWN"
	case 2:
		return "status NOT_SERVING"
	case 3:
		return "status SERVICE_UNKNOWN"
	}
	return fmt.Sprintf("status %d", n)
}

// Frames of HTTP/2 (RFC 9113).
const (
	frameData     = 0
	frameHeaders  = 1
	frameReset    = 3
	frameSettings = 4
	framePing     = 6
	frameGoAway   = 7

	flagEndStream  = 1
	flagAck        = 1
	flagEndHeaders = 4
	flagPadded     = 8

	frameHead = 9
)

const http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

func appendFrame(b []byte, typ, flags byte, stream uint32, payload []byte) []byte {
	n := len(payload)
	b = append(b, byte(n>>16), byte(n>>8), byte(n), typ, flags, byte(stream>>24), byte(stream>>16), byte(stream>>8), byte(stream))
	return append(b, payload...)
}

// grpcCall is all that the client sends, but for acknowledgements.
func grpcCall(authority, service string) []byte {
	b := append([]byte(nil), http2Preface...)
	// No table for compressed header fields: what the answer has is literal.
	// SETTINGS_HEADER_TABLE_SIZE 0, SETTINGS_ENABLE_PUSH 0.
	b = appendFrame(b, frameSettings, 0, 0, []byte{0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0})
	b = appendFrame(b, frameHeaders, flagEndHeaders, 1, grpcHeader(authority))
	return appendFrame(b, frameData, flagEndStream, 1, grpcMessage(service))
}

// grpcHeader is the request's header, with entries of HPACK's static table (RFC
// 7541, appendix A) and literals that are not indexed.
func grpcHeader(authority string) []byte {
	const post, schemeHTTP = 3, 6
	b := []byte{0x80 | post, 0x80 | schemeHTTP}
	b = appendLiteral(b, 4, "", "/grpc.health.v1.Health/Check")
	b = appendLiteral(b, 1, "", authority)
	b = appendLiteral(b, 0, "content-type", "application/grpc")
	b = appendLiteral(b, 0, "te", "trailers")
	return appendLiteral(b, 0, "user-agent", "peapod-probe")
}

// appendLiteral appends a field without indexing, whose name is one of the first
// 14 of the static table, or else given.
func appendLiteral(b []byte, index byte, name, value string) []byte {
	b = append(b, index)
	if index == 0 {
		b = appendHPACKString(b, name)
	}
	return appendHPACKString(b, value)
}

// appendHPACKString appends a string as it is, of less than 127+128 bytes.
func appendHPACKString(b []byte, s string) []byte {
	if len(s) < 0x7f {
		b = append(b, byte(len(s)))
	} else {
		b = append(b, 0x7f, byte(len(s)-0x7f))
	}
	return append(b, s...)
}

// maxGRPCService is how long a service's name may be.
const maxGRPCService = 1024

// grpcMessage is a HealthCheckRequest {string service = 1} with gRPC's head: not
// compressed, length.
func grpcMessage(service string) []byte {
	var m []byte
	if service != "" {
		m = append(m, 1<<3|2)
		m = binary.AppendUvarint(m, uint64(len(service)))
		m = append(m, service...)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(m))), m...)
}
