package program

import (
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// A thread shares the program's memory: what it stores ends the spinning of the
// other.
func TestSpin(t *testing.T) {
	p := New()
	v, thread, on := p.Var("value"), p.Label(), p.Label()
	p.Call(unix.SYS_CLONE, Int(ThreadFlags), Null, Null, Null, Null).Zero(thread).Then(on)
	p.Here(thread)
	pause := p.Bytes(binary.LittleEndian.AppendUint64(make([]byte, 8), 20e6), "{20 ms}")
	p.Call(unix.SYS_NANOSLEEP, pause, Null)
	p.Call(unix.SYS_WRITE, Int(1), p.Str("first "), Int(6)).Into(v)
	p.Call(unix.SYS_EXIT, Int(0))
	p.Here(on)
	p.Spin(v)
	p.Call(unix.SYS_WRITE, Int(1), p.Str("second"), v.Value())
	p.Exit(3)
	if out, status, err := run(t, p); out != "first second" || status != 3 || !errors.Is(err, ErrDied) {
		t.Errorf("got %q, status %d, %v", out, status, err)
	}
}
