package proxy

import (
	"bytes"
	"testing"
)

func TestBuffers(t *testing.T) {
	var p buffers
	for n := 1; n <= bufferSize; n = n*3/2 + 1 {
		data := bytes.Repeat([]byte{byte(n)}, n)
		x := p.hold(data)
		if !bytes.Equal(x, data) {
			t.Errorf("%d bytes changed", n)
		}
		if waste := cap(x); waste > 2*n && waste > 1<<minBufferBits {
			t.Errorf("%d bytes are held in %d", n, waste)
		}
		p.drop(x)
		if y := p.hold(data); &x[0] != &y[0] {
			t.Errorf("the memory for %d bytes is not used again", n)
		} else {
			p.drop(y)
		}
	}
	full := bytes.Repeat([]byte{1}, bufferSize)
	p.drop(p.hold(full))
	var list [][]byte
	for range 3 * keptBuffers {
		list = append(list, p.hold(full))
	}
	for _, x := range list {
		p.drop(x)
	}
	if n := len(p[bufferClasses-1]); n != keptBuffers {
		t.Errorf("%d buffers are kept", n)
	}
}
