package program

import (
	"encoding/binary"
	"fmt"
	"unsafe"
)

// interpreter returns the interpreter's code in this binary and its size.
func interpreter() (start unsafe.Pointer, size uintptr)

// What elf(5) names so; importing debug/elf would cost every start.
const (
	etExec     = 2
	evCurrent  = 1
	ptLoad     = 1
	ptGNUStack = 0x6474e551
	pfX        = 1
	pfW        = 2
	pfR        = 4
	largest    = 0x10000 // page size of any arm64 kernel

	ehSize  = 64
	phSize  = 56
	phCount = 3
	codeAt  = ehSize + phCount*phSize
)

// ELF lays the program out as a static executable. It fails only when a label
// was never put into the program, or the last step can run past its end.
func (p *Program) ELF() ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	for _, v := range p.others {
		p.Set(v, uint64(3+len(p.files)))
	}
	start, length := interpreter()
	code := unsafe.Slice((*byte)(start), int(length))

	p.align()
	first := dataBase + uint64(len(p.data))
	address := func(index int) uint64 { return first + uint64(index)*stepSize }
	size := len(p.data) + len(p.steps)*stepSize
	image := make([]byte, dataOffset, dataOffset+size)
	le := binary.LittleEndian
	image = append(image, p.data...)
	le.PutUint64(image[dataOffset:], uint64(p.report))
	le.PutUint64(image[dataOffset+32:], first)
	for _, s := range p.steps {
		image = s.encode(image, address)
	}

	copy(image, "\x7fELF\x02\x01\x01") // 64 bits, little endian, version 1
	le.PutUint16(image[16:], etExec)
	le.PutUint16(image[18:], machine)
	le.PutUint32(image[20:], evCurrent)
	le.PutUint64(image[24:], textBase+codeAt)
	le.PutUint64(image[32:], ehSize)
	le.PutUint16(image[52:], ehSize)
	le.PutUint16(image[54:], phSize)
	le.PutUint16(image[56:], phCount)
	header := func(i int, kind, flags uint32, offset, addr, size uint64) {
		h := image[ehSize+i*phSize:]
		le.PutUint32(h, kind)
		le.PutUint32(h[4:], flags)
		le.PutUint64(h[8:], offset)
		le.PutUint64(h[16:], addr)
		le.PutUint64(h[24:], addr)
		le.PutUint64(h[32:], size)
		le.PutUint64(h[40:], size)
		le.PutUint64(h[48:], largest)
	}
	header(0, ptLoad, pfR|pfX, 0, textBase, uint64(codeAt+len(code)))
	header(1, ptLoad, pfR|pfW, dataOffset, dataBase, uint64(size))
	header(2, ptGNUStack, pfR|pfW, 0, 0, 0) // else the stack may be executable
	copy(image[codeAt:], code)
	return image, nil
}

// check finds what would make the interpreter leave the table of steps.
func (p *Program) check() error {
	for _, s := range p.steps {
		for _, l := range []*Label{s.onError, s.onZero, s.then} {
			if l != nil && (l.index < 0 || l.index >= len(p.steps)) {
				return fmt.Errorf("program: step %d (%s) goes on at a label outside of the program", s.index, Name(s.nr))
			}
		}
	}
	if n := len(p.steps); n == 0 || !p.steps[n-1].ends() {
		return fmt.Errorf("program: the last of %d steps may run past the end", n)
	}
	return nil
}

// ends reports whether the step never goes on at the one behind it.
func (s *Step) ends() bool {
	if s.nr == sysExitGroup {
		return true
	}
	canFail := s.tolerate != [2]uint64{}
	if s.nr == sysExecve {
		return !canFail || s.onError != nil
	}
	return s.then != nil && (!canFail || s.onError != nil)
}
