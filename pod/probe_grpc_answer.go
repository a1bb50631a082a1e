package pod

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	// maxFrame is how long frames may be unless the client says otherwise.
	maxFrame = 16 << 10
	// maxGRPCAnswer bounds all that is read of an answer, maxGRPCMessage what
	// it says.
	maxGRPCAnswer  = 256 << 10
	maxGRPCMessage = 4 << 10
)

var (
	errNotHTTP2   = errors.New("the answer is not HTTP/2")
	errNoMessage  = errors.New("the answer has no message: the server has no health service, or does not know the service that it was asked for")
	errBadMessage = errors.New("the answer is no HealthCheckResponse")
)

// grpcReader reads what comes for the one call that a connection has. Header fields
// are not looked at: a call that fails has no message.
type grpcReader struct {
	rw      io.ReadWriter
	message []byte
}

// frame is one of HTTP/2.
type frame struct {
	typ, flags byte
	stream     uint32
	payload    []byte
}

// readGRPC reads an answer and returns the status in it.
func readGRPC(rw io.ReadWriter) (uint64, error) {
	r := &grpcReader{rw: struct {
		io.Reader
		io.Writer
	}{io.LimitReader(rw, maxGRPCAnswer), rw}}
	for first := true; ; first = false {
		f, err := r.next()
		if err == nil && first && (f.typ != frameSettings || f.flags&flagAck != 0) {
			err = errNotHTTP2
		}
		if err != nil {
			return 0, err
		}
		if ended, err := r.take(f); err != nil {
			return 0, err
		} else if ended {
			return grpcStatus(r.message)
		}
	}
}

func (r *grpcReader) next() (f frame, err error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r.rw, head[:]); err != nil {
		return f, cutOff(err)
	}
	n := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
	if n > maxFrame {
		return f, errNotHTTP2 // HTTP/1 begins with what would be a long one
	}
	f = frame{typ: head[3], flags: head[4], stream: binary.BigEndian.Uint32(head[5:]) &^ (1 << 31), payload: make([]byte, n)}
	_, err = io.ReadFull(r.rw, f.payload)
	return f, cutOff(err)
}

func cutOff(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the connection was closed before the answer was complete")
	}
	return err
}

// take acts on a frame. It reports whether the answer has ended.
func (r *grpcReader) take(f frame) (ended bool, err error) {
	switch {
	case f.typ == frameSettings && f.flags&flagAck == 0:
		_, err = r.rw.Write(appendFrame(nil, frameSettings, flagAck, 0, nil))
	case f.typ == framePing && f.flags&flagAck == 0:
		_, err = r.rw.Write(appendFrame(nil, framePing, flagAck, 0, f.payload))
	case f.typ == frameGoAway && len(f.payload) >= 8:
		last, code := binary.BigEndian.Uint32(f.payload)&^(1<<31), binary.BigEndian.Uint32(f.payload[4:])
		if code != 0 || last == 0 {
			err = fmt.Errorf("the server ended the connection (HTTP/2 error %d)", code)
		}
	case f.stream != 1:
	case f.typ == frameReset && len(f.payload) == 4:
		err = fmt.Errorf("the server ended the call (HTTP/2 error %d)", binary.BigEndian.Uint32(f.payload))
	case f.typ == frameData:
		return f.flags&flagEndStream != 0, r.data(f)
	case f.typ == frameHeaders:
		return f.flags&flagEndStream != 0, nil
	}
	return false, err
}

func (r *grpcReader) data(f frame) error {
	data := f.payload
	if f.flags&flagPadded != 0 {
		if len(data) == 0 || int(data[0]) >= len(data) {
			return errNotHTTP2
		}
		data = data[1 : len(data)-int(data[0])]
	}
	r.message = append(r.message, data...)
	if len(r.message) > maxGRPCMessage {
		return errBadMessage
	}
	return nil
}

// grpcStatus is the status in a message: gRPC's head, not compressed, and a
// HealthCheckResponse {ServingStatus status = 1}.
func grpcStatus(b []byte) (status uint64, err error) {
	const head = 5
	switch {
	case len(b) == 0:
		return 0, errNoMessage
	case len(b) < head || b[0] != 0 || binary.BigEndian.Uint32(b[1:]) != uint32(len(b)-head):
		return 0, errBadMessage
	}
	for b = b[head:]; len(b) > 0; {
		var tag, value uint64
		if tag, b, err = uvarint(b); err != nil {
			return 0, err
		}
		if value, b, err = protobufField(tag&7, b); err != nil {
			return 0, err
		}
		if tag == 1<<3 {
			status = value
		}
	}
	return status, nil
}

// protobufField reads the value of a field of one of protobuf's wire types, or
// skips it.
func protobufField(wire uint64, b []byte) (value uint64, rest []byte, err error) {
	skip := uint64(0)
	switch wire {
	case 0:
		return uvarint(b)
	case 1:
		skip = 8
	case 2:
		if skip, b, err = uvarint(b); err != nil {
			return 0, nil, err
		}
	case 5:
		skip = 4
	default:
		return 0, nil, errBadMessage
	}
	if skip > uint64(len(b)) {
		return 0, nil, errBadMessage
	}
	return 0, b[skip:], nil
}

func uvarint(b []byte) (uint64, []byte, error) {
	value, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, errBadMessage
	}
	return value, b[n:], nil
}
