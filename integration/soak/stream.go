package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
)

// kind is what a connection is like.
type kind uint8

const (
	plain       kind = iota // both know how much comes
	clientEnds              // the server answers after the client's end
	serverEnds              // the client sends after the server's end
	slow                    // the client rests while it reads
	clientReset             // in the middle of the answer
	serverReset             // the same
	kinds
)

func (k kind) String() string {
	return [...]string{"plain", "half-closed by the client", "half-closed by the server", "read slowly", "reset by the client", "reset by the server"}[k]
}

// order is what a client sends first: all else follows from it.
type order struct {
	kind kind
	up   uint32 // bytes from the client
	down uint32 // bytes from the server
	seed uint64
}

const orderSize = 17

// newOrder makes small amounts often and large ones sometimes.
func newOrder(rng *rand.Rand) order {
	o := order{kind: plain, up: amount(rng), down: amount(rng), seed: rng.Uint64()}
	switch n := rng.IntN(1000); {
	case n < 250:
		o.kind = clientEnds
	case n < 450:
		o.kind = serverEnds
	case n < 500:
		o.kind = clientReset
	case n < 550:
		o.kind = serverReset
	case n < 555:
		o.kind, o.down = slow, uint32(rng.IntN(1<<20))
	}
	return o
}

func amount(rng *rand.Rand) uint32 {
	switch n := rng.IntN(1000); {
	case n < 950:
		return uint32(rng.IntN(2 << 10))
	case n < 995:
		return uint32(rng.IntN(32 << 10))
	}
	return uint32(rng.IntN(512 << 10))
}

func (o order) encode() []byte {
	b := []byte{byte(o.kind)}
	b = binary.BigEndian.AppendUint32(b, o.up)
	b = binary.BigEndian.AppendUint32(b, o.down)
	return binary.BigEndian.AppendUint64(b, o.seed)
}

func readOrder(r io.Reader) (o order, err error) {
	var b [orderSize]byte
	if _, err = io.ReadFull(r, b[:]); err != nil {
		return o, err
	}
	o = order{kind(b[0]), binary.BigEndian.Uint32(b[1:]), binary.BigEndian.Uint32(b[5:]), binary.BigEndian.Uint64(b[9:])}
	if o.kind >= kinds {
		err = fmt.Errorf("the order came as %x", b)
	}
	return o, err
}

// content is one direction's bytes.
func (o order) content(down bool, n uint32) io.Reader {
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], o.seed)
	if down {
		seed[8] = 1
	}
	return io.LimitReader(rand.NewChaCha8(seed), int64(n))
}

// send sends n bytes of a direction, and their sum unless it is only a part.
func (o order) send(w io.Writer, down bool, n uint32, part bool, buf []byte) error {
	h := sha256.New()
	if _, err := io.CopyBuffer(w, struct{ io.Reader }{io.TeeReader(o.content(down, n), h)}, buf); err != nil || part {
		return err
	}
	_, err := w.Write(h.Sum(nil))
	return err
}

var errSum = errors.New("the bytes changed: their sum is another one")

// receive wants the n bytes of a direction, and their sum.
func (o order) receive(r io.Reader, n uint32, buf []byte) error {
	h := sha256.New()
	got, err := io.CopyBuffer(struct{ io.Writer }{h}, io.LimitReader(r, int64(n)), buf)
	if err == nil && got < int64(n) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("after %d of %d bytes: %w", got, n, err)
	}
	var sum [sha256.Size]byte
	if _, err := io.ReadFull(r, sum[:]); err != nil {
		return fmt.Errorf("the sum of %d bytes: %w", n, err)
	}
	if !bytes.Equal(sum[:], h.Sum(nil)) {
		return errSum
	}
	return nil
}

// wantsEnd wants nothing more but the end.
func wantsEnd(r io.Reader) error {
	n, err := r.Read(make([]byte, 1))
	switch {
	case n > 0:
		return errors.New("there are more bytes than were sent")
	case err != io.EOF:
		return fmt.Errorf("in place of the end: %w", err)
	}
	return nil
}
