package program

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The image is what the kernel and others expect of an executable. TestEmulated
// runs this for the other architecture too.
func TestELF(t *testing.T) {
	p := New()
	write(p, "x")
	p.Exit(0)
	image, err := p.ELF()
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[runtime.GOARCH]
	if f.Type != elf.ET_EXEC || f.Machine != want || f.Class != elf.ELFCLASS64 || f.ByteOrder != binary.LittleEndian {
		t.Errorf("%+v", f.FileHeader)
	}
	if len(f.Progs) != 3 {
		t.Fatalf("%d program headers", len(f.Progs))
	}
	text, data, stack := f.Progs[0], f.Progs[1], f.Progs[2]
	if text.Flags != elf.PF_R|elf.PF_X || data.Flags != elf.PF_R|elf.PF_W || stack.Type != elf.PT_GNU_STACK || stack.Flags&elf.PF_X != 0 {
		t.Errorf("flags %v, %v, %v: what is written must not be executed", text.Flags, data.Flags, stack.Flags)
	}
	if f.Entry < text.Vaddr || f.Entry >= text.Vaddr+text.Memsz {
		t.Errorf("the entry %#x is not in the text", f.Entry)
	}
	for _, s := range f.Progs[:2] {
		for _, page := range []uint64{4 << 10, 16 << 10, 64 << 10} { // arm64 has all three
			if s.Vaddr%page != s.Off%page {
				t.Errorf("address %#x and offset %#x differ modulo %d", s.Vaddr, s.Off, page)
			}
		}
		if s.Off+s.Filesz > uint64(len(image)) || s.Filesz != s.Memsz {
			t.Errorf("%+v lies outside of the %d bytes", s.ProgHeader, len(image))
		}
	}
	const page = 64 << 10
	if (text.Vaddr+text.Memsz+page-1)/page*page > data.Vaddr/page*page {
		t.Error("text and data share a page")
	}
}

// The data is where the values say, and the steps behind it.
func TestLayout(t *testing.T) {
	p := New()
	s, odd := p.Str("hello"), p.Str("a")
	if p.Str("hello") != s {
		t.Error("equal strings have different addresses")
	}
	b := p.Bytes([]byte{1, 2, 3}, "")
	list := p.Strs([]string{"hello", "b"})
	v := p.Var("v")
	p.Set(v, 0x1122334455667788)
	if b.Address()%8 != 0 || list.Address()%8 != 0 || v.addr%8 != 0 || odd.Address() == 0 {
		t.Error("a structure is not aligned")
	}
	p.Exit(0)
	image, err := p.ELF()
	if err != nil {
		t.Fatal(err)
	}
	at := func(addr uint64, n int) []byte { return image[dataOffset+addr-dataBase:][:n] }
	word := func(addr uint64) uint64 { return binary.LittleEndian.Uint64(at(addr, 8)) }
	if string(at(s.Address(), 6)) != "hello\x00" || !bytes.Equal(at(b.Address(), 3), []byte{1, 2, 3}) || word(v.addr) != 0x1122334455667788 {
		t.Error("the data is not where the values say")
	}
	if word(list.Address()) != s.Address() || string(at(word(list.Address()+8), 2)) != "b\x00" || word(list.Address()+16) != 0 {
		t.Error("the list of strings")
	}
	if first := word(dataBase + 32); word(first) != unix.SYS_EXIT_GROUP || first%8 != 0 {
		t.Errorf("the first step is at %#x", first)
	}
	if word(dataBase) != 3 {
		t.Errorf("the report descriptor is %d", word(dataBase))
	}
}

// A large program works: many steps, much data, and a failure far behind is
// found again.
func TestLarge(t *testing.T) {
	const steps = 3000
	build := func(fail bool) *Program {
		p := New()
		for i := range 40 {
			p.Str(strings.Repeat(string(rune('a'+i%26)), 32<<10) + fmt.Sprint(i))
		}
		n := p.Var("n")
		for range steps {
			p.Call(unix.SYS_GETPID).Into(n)
		}
		if fail {
			p.Call(unix.SYS_CHDIR, p.Str("/no/such")).For("enter", "nowhere")
		}
		write(p, "end")
		p.Exit(4)
		return p
	}
	p := build(false)
	image, err := p.ELF()
	if err != nil || len(image) < 1<<20 || p.Steps() < 1000 {
		t.Fatalf("%d bytes, %d steps, %v", len(image), p.Steps(), err)
	}
	if out, status, err := run(t, p); out != "end" || status != 4 || !errors.Is(err, ErrDied) {
		t.Errorf("%q, %d, %v", out, status, err)
	}
	_, _, err = run(t, build(true))
	var step *Error
	if !errors.As(err, &step) || step.Step != steps || step.Object != "nowhere" {
		t.Errorf("%+v", err)
	}
}

// What is open and inheritable in this process is closed by CloseOthers.
func TestCloseOthers(t *testing.T) {
	foreign, err := unix.Open("/etc", unix.O_RDONLY, 0) // without O_CLOEXEC
	if err != nil {
		t.Fatal(err)
	}
	high, err := unix.FcntlInt(uintptr(foreign), unix.F_DUPFD, 200)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(foreign)
	defer unix.Close(high)
	given, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer given.Close()
	p := New(given)
	p.CloseOthers()
	late := p.File(given, "late") // added behind it, and kept
	p.Call(unix.SYS_FCNTL, late, Int(unix.F_GETFD), Int(0)).For("look at", "late")
	p.Call(unix.SYS_FCNTL, Int(high), Int(unix.F_GETFD), Int(0)).For("look at", "foreign")
	p.Exit(0)
	_, _, err = run(t, p)
	var step *Error
	if !errors.As(err, &step) || step.Object != "foreign" || step.Errno != unix.EBADF {
		t.Errorf("%v", err)
	}
}

// A message that nobody read is not lost when the program fails.
func TestAbortReturnsMessages(t *testing.T) {
	p := New()
	one, two := p.Message("one"), p.Message("two")
	p.Set(two.Value, 7)
	p.Send(one)
	p.Send(two)
	p.Call(unix.SYS_CHDIR, p.Str("/no/such"))
	p.Exit(0)
	proc, err := p.Start(&Attr{})
	if err != nil {
		t.Fatal(err)
	}
	if e, err := proc.Next(context.Background()); err != nil || e.Label != "one" {
		t.Fatal(e, err)
	}
	proc.failed = true // so that Abort lets it end by itself
	if left := proc.Abort(); len(left) != 1 || left[0] != (Event{"two", 7}) {
		t.Errorf("%+v", left)
	}
}

// FuzzELF: no program makes listing or laying out panic, and what is laid out
// is an executable whose steps go on within the table.
func FuzzELF(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	f.Add([]byte{0, 0, 0, 0, 255, 255, 6, 6, 6, 1, 3, 5, 7, 7, 7, 200, 100})
	f.Fuzz(func(t *testing.T, ops []byte) {
		p := New()
		labels := []*Label{p.Label(), p.Label(), p.Label()}
		values := []Value{Null, Int(1)}
		var last *Step
		for i, op := range ops {
			n := int(op / 12)
			label, value := labels[n%3], values[n%len(values)]
			switch op % 12 {
			case 0:
				values = append(values, p.Str(string(ops[:i])))
			case 1:
				values = append(values, p.Bytes(ops[i:], "bytes"))
			case 2:
				values = append(values, p.Var("v").Value())
			case 3:
				values = append(values, p.Strs([]string{"a", string(ops[i:])}))
			case 4:
				p.Here(label)
			case 5:
				p.Call(unix.SYS_GETPID).Then(label).Zero(label)
			case 6:
				p.Sync("sync")
			case 7:
				p.Exit(n)
			case 8:
				p.CloseOthers()
			default:
				last = p.Call(uintptr(n), value, value).For("do", "it")
			}
			if last != nil {
				switch op % 5 {
				case 0:
					last.Tolerate(unix.Errno(1 + n%127)).Else(label)
				case 1:
					last.Zero(label)
				case 2:
					last.Then(label)
				case 3:
					last.Into(p.Var("out"))
				case 4:
					last.TolerateAll()
				}
			}
		}
		if err := p.List(io.Discard); err != nil {
			t.Fatal(err)
		}
		image, err := p.ELF()
		if err != nil {
			return
		}
		if _, err := elf.NewFile(bytes.NewReader(image)); err != nil {
			t.Fatal(err)
		}
		le := binary.LittleEndian
		first := le.Uint64(image[dataOffset+32:])
		end := first + uint64(p.Steps())*stepSize
		for i := range p.Steps() {
			step := image[dataOffset+first-dataBase+uint64(i)*stepSize:]
			for _, offset := range []int{80, 88, 96} {
				to := le.Uint64(step[offset:])
				past := to == end && p.steps[i].ends() // never taken
				if !past && to != end && (to < first || to > end || (to-first)%stepSize != 0) {
					t.Errorf("step %d goes on at %#x of %#x to %#x", i, to, first, end)
				}
				if to == end && !p.steps[i].ends() {
					t.Errorf("step %d runs past the end", i)
				}
			}
		}
	})
}
