package program

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

const (
	textBase   = 0x400000 // as linkers choose: mmap_min_addr allows it everywhere
	dataBase   = 0x601000 // congruent with its file offset, whatever the page size
	dataOffset = 0x1000
	headerSize = 64
	stepSize   = 14 * 8
)

// Program is a list of system calls, the memory that they refer to and the
// descriptors that they find open. The zero value is not ready: use New.
type Program struct {
	steps  []*Step
	room   []Step // for further ones
	data   []byte
	text   map[string]Value // strings that are laid out already
	files  []inherited
	labels []string // of messages
	others []*Var   // hold the first descriptor behind those of files
	report int      // descriptor of the report socket in the process
	vars   int
	image  *os.File // written, not started yet
	notes  []func(io.Writer) error
}

// inherited is a descriptor that the process finds open.
type inherited struct {
	file *os.File // nil in a program that is only listed
	name string
}

// New returns an empty program whose process gets standard input, output and
// error and, as descriptors 3 and up, extra, which the program that it executes
// inherits too.
func New(extra ...*os.File) *Program {
	p := &Program{
		steps: make([]*Step, 0, 256),
		data:  make([]byte, headerSize, 16<<10),
		text:  make(map[string]Value, 64),
	}
	for i, f := range extra {
		p.File(f, fmt.Sprintf("fd%d", 3+i))
	}
	p.report = 3 + len(p.files)
	p.files = append(p.files, inherited{name: "report"})
	return p
}

// File makes f an open descriptor of the process, under the same name in
// listings, and returns its number there. The process's copy is closed by the
// execve that ends the program.
func (p *Program) File(f *os.File, name string) Value {
	p.files = append(p.files, inherited{f, name})
	return Value{bits: uint64(2 + len(p.files)), show: inherit(name)}
}

// Report is the process's descriptor of the report socket.
func (p *Program) Report() Value { return Value{bits: uint64(p.report), show: "<report>"} }

// Own is the first descriptor that the executed program must not see.
func (p *Program) Own() Value { return Int(p.report) }

// CloseOthers adds a step that closes the descriptors which the process found
// open without having been given them: Go's fork passes on all those of this
// process that are not close-on-exec, such as what it inherited itself.
func (p *Program) CloseOthers() {
	v := p.Var("others")
	p.others = append(p.others, v)
	p.Call(unix.SYS_CLOSE_RANGE, v.Value(), Int(^uint32(0)), Int(0)).For("close", "foreign descriptors")
}

// Call appends a step that makes system call nr, with at most six arguments.
func (p *Program) Call(nr uintptr, args ...Value) *Step {
	if len(args) > 6 {
		panic(fmt.Sprintf("program: %s with %d arguments", Name(nr), len(args)))
	}
	if len(p.room) == 0 {
		p.room = make([]Step, 64)
	}
	s := &p.room[0]
	p.room = p.room[1:]
	*s = Step{index: len(p.steps), nr: nr, args: args}
	p.steps = append(p.steps, s)
	return s
}

// ThreadFlags are those of clone(2) for a further thread of the program. It goes on
// with the same stack, which the interpreter does not use.
const ThreadFlags = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_THREAD | unix.CLONE_SYSVSEM

// spin is in place of a system call's number.
const spin = ^uintptr(0)

// Spin appends a step that waits, without a system call, until another thread
// has stored something in v.
func (p *Program) Spin(v *Var) { p.Call(spin, v.Addr()).For("wait for", v.name) }

// Bytes lays b out at an address aligned to 8 bytes. show, a string or a
// fmt.Stringer, is how a listing shows it.
func (p *Program) Bytes(b []byte, show any) Value {
	p.align()
	v := Value{bits: dataBase + uint64(len(p.data)), show: show}
	p.data = append(p.data, b...)
	return v
}

func (p *Program) align() {
	for len(p.data)%8 != 0 {
		p.data = append(p.data, 0)
	}
}

// Str lays s out as a C string; equal strings share their memory. A string
// with a NUL byte is cut there: callers refuse such input.
func (p *Program) Str(s string) Value {
	if v, ok := p.text[s]; ok {
		return v
	}
	v := Value{bits: dataBase + uint64(len(p.data)), show: text(s)}
	p.data = append(append(p.data, s...), 0)
	p.text[s] = v
	return v
}

// Strs lays words out as execve takes it: an array of pointers to C strings,
// with NULL at its end.
func (p *Program) Strs(words []string) Value {
	pointers := make([]byte, 0, 8*(len(words)+1))
	for _, s := range words {
		pointers = binary.LittleEndian.AppendUint64(pointers, p.Str(s).bits)
	}
	pointers = binary.LittleEndian.AppendUint64(pointers, 0)
	return p.Bytes(pointers, list(words))
}

// Var returns a new variable of 64 bits, zero at first.
func (p *Program) Var(name string) *Var { return p.Patch(p.Bytes(zero[:], ""), 0, name) }

var zero [8]byte

// Patch makes v the storage of the 64 bits at offset in the bytes at base, so
// that a result can become part of a structure.
func (p *Program) Patch(base Value, offset int, name string) *Var {
	p.vars++
	return &Var{addr: base.bits + uint64(offset), name: name, number: p.vars}
}

// Set stores n in the 64 bits of v before the program starts.
func (p *Program) Set(v *Var, n uint64) {
	binary.LittleEndian.PutUint64(p.data[v.addr-dataBase:], n)
}

// Label returns a place that steps can go on at; Here puts it into the program.
func (p *Program) Label() *Label { return &Label{index: -1} }

// Here puts l before the next step.
func (p *Program) Here(l *Label) { l.index = len(p.steps) }

// Exit ends the process.
func (p *Program) Exit(status int) { p.Call(unix.SYS_EXIT_GROUP, Int(status)) }

// Label is a place in a program.
type Label struct{ index int }

// Note makes write a part of listings, behind the steps.
func (p *Program) Note(write func(io.Writer) error) { p.notes = append(p.notes, write) }

// Steps is the number of steps.
func (p *Program) Steps() int { return len(p.steps) }
