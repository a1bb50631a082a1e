package program

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

func TestExplain(t *testing.T) {
	p := New()
	p.Call(unix.SYS_SETSID).For("make", "a session")
	p.Call(unix.SYS_CHDIR, p.Str("/x")).For("change directory to", "a\nb")
	p.Exit(0)
	if _, err := p.ELF(); err != nil {
		t.Fatal(err)
	}
	message := func(errno, step uint64) []byte {
		le := binary.LittleEndian
		return le.AppendUint64(le.AppendUint64(le.AppendUint64(nil, errno), step), 0)
	}
	first := dataBase + uint64(len(p.data))
	failed := append(message(0, 3), message(uint64(unix.EPERM), first+stepSize)...)
	e := Explain(failed, p.Names(1))
	if e == nil || e.Op != "change directory to" || e.Object != "a\nb" || e.Errno != unix.EPERM || e.Call != "chdir" || e.Step != p.steps[1].index {
		t.Errorf("%+v", e)
	}
	if e := Explain(message(1, first), p.Names(1)); e != nil {
		t.Errorf("a step that has no name: %+v", e)
	}
	if e := Explain(failed, nil); e != nil {
		t.Errorf("without names: %+v", e)
	}
}

func FuzzExplain(f *testing.F) {
	f.Add([]byte("24 bytes of some message"), []byte("1\x001\x00a\x00b\x00c\x00"))
	f.Fuzz(func(t *testing.T, messages, names []byte) { Explain(messages, names) })
}
