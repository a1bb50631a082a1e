package rootfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path"
	goruntime "runtime"
	"strings"

	"github.com/peapod/peapod/internal/inroot"
	"golang.org/x/sys/unix"
)

const (
	headSize   = 256 // as much as the kernel reads: BINPRM_BUF_SIZE
	maxScripts = 5   // how many scripts may interpret each other, in the kernel
	maxHeaders = 65536
)

// format checks what the kernel makes of an executable file.
func (s *search) format(file string, depth int) *LookPathError {
	// O_NONBLOCK: should a fifo have taken the file's place, do not wait for it.
	fd, err := inroot.Open(s.root, file, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return nil // executable without being readable; the kernel will tell
	}
	f := os.NewFile(uintptr(fd), file)
	defer f.Close()
	head := make([]byte, headSize)
	n, err := f.ReadAt(head, 0)
	switch head = head[:n]; {
	case n == 0 && err != nil:
		return failure(file, unix.ENOEXEC, "%s is empty", file)
	case bytes.HasPrefix(head, []byte("#!")):
		return s.script(file, head[2:], depth)
	case bytes.HasPrefix(head, []byte("\x7fELF")):
		return s.elf(file, f, head)
	case foreignFormats():
		return nil
	case bytes.IndexByte(head, 0) < 0:
		return failure(file, unix.ENOEXEC, "%s is neither a program nor a script: a script begins with a line such as #!/bin/sh", file)
	}
	return failure(file, unix.ENOEXEC, "%s is not a program for Linux", file)
}

// script checks the interpreter of a script; line is what follows #!.
func (s *search) script(file string, line []byte, depth int) *LookPathError {
	line, _, _ = bytes.Cut(line, []byte("\n"))
	line, _, _ = bytes.Cut(line, []byte("\x00"))
	interpreter, arg, _ := strings.Cut(strings.Trim(strings.ReplaceAll(string(line), "\t", " "), " "), " ")
	arg = strings.TrimLeft(arg, " ")
	if interpreter == "" {
		return failure(file, unix.ENOEXEC, "the first line of the script %s names no interpreter", file)
	}
	if depth == maxScripts {
		return failure(file, unix.ELOOP, "more than %d scripts interpret each other, the last one is %s", maxScripts, file)
	}
	if err := s.executable(under(s.cwd, interpreter)); err != nil {
		return s.noInterpreter(file, interpreter, err)
	}
	if err := s.format(under(s.cwd, interpreter), depth+1); err != nil {
		return failure(file, err.Err, "the interpreter of the script %s: %w", file, err)
	}
	if path.Base(interpreter) == "env" {
		return s.env(file, arg)
	}
	return nil
}

func (s *search) noInterpreter(file, interpreter string, err *LookPathError) *LookPathError {
	switch {
	case strings.HasSuffix(interpreter, "\r"):
		return windows(file, interpreter)
	case err == errAbsent:
		return failure(file, unix.ENOENT, "the script %s needs the interpreter %s, which the image does not have", file, visible(interpreter))
	}
	return failure(file, err.Err, "the interpreter of the script %s: %w", file, err)
}

func windows(file, wanted string) *LookPathError {
	return failure(file, unix.ENOENT, "the script %s has Windows line ends, so that its interpreter is looked for as %q; convert it, for example with dos2unix", file, wanted)
}

// env checks the command of a script that begins with #!/usr/bin/env COMMAND.
func (s *search) env(file, command string) *LookPathError {
	switch {
	case command == "" || command[0] == '-' || strings.Contains(command, "="):
		return nil
	case strings.HasSuffix(command, "\r"):
		return windows(file, command)
	case strings.Contains(command, " "):
		return failure(file, unix.ENOENT, "the script %s makes env look for %q, as one word; write #!/usr/bin/env -S", file, command)
	}
	inner := &search{s.root, s.pathEnv, s.cwd, command}
	if _, err := inner.first((*search).executable); err != nil {
		errno := error(unix.EACCES)
		if errors.Is(err, unix.ENOENT) {
			errno = unix.ENOENT
		}
		return failure(file, errno, "the interpreter of the script %s: %w", file, err)
	}
	return nil
}

// machine returns the name that Go has for the number in an ELF header (elf(5)).
func machine(number uint16) string {
	switch number {
	case 3:
		return "386"
	case 8:
		return "mips"
	case 21:
		return "ppc64"
	case 22:
		return "s390x"
	case 40:
		return "arm"
	case 62:
		return "amd64"
	case 183:
		return "arm64"
	case 243:
		return "riscv64"
	case 258:
		return "loong64"
	}
	return fmt.Sprintf("another machine (ELF machine %d)", number)
}

// elf checks that a program is for this machine, and its dynamic loader.
func (s *search) elf(file string, f *os.File, head []byte) *LookPathError {
	if len(head) < 64 {
		return failure(file, unix.ENOEXEC, "%s is cut off: it ends within its ELF header", file)
	}
	const littleEndian = 1
	kind, name := binary.LittleEndian.Uint16(head[16:]), machine(binary.LittleEndian.Uint16(head[18:]))
	if head[5] != littleEndian {
		name = machine(binary.BigEndian.Uint16(head[18:])) + ", big-endian"
	}
	if !runsHere(name) {
		if foreignFormats() {
			return nil
		}
		return failure(file, unix.ENOEXEC, "%s is a program for %s, this machine is %s", file, name, goruntime.GOARCH)
	}
	const executable, shared = 2, 3
	if kind != executable && kind != shared {
		return failure(file, unix.ENOEXEC, "%s is an ELF file, but not a program", file)
	}
	loader := loaderOf(f, head)
	if loader == "" {
		return nil
	}
	switch err := s.executable(under(s.cwd, loader)); {
	case err == nil:
		return nil
	case err != errAbsent:
		return failure(file, err.Err, "the loader of %s: %w", file, err)
	}
	hint := ""
	switch {
	case strings.Contains(loader, "ld-musl"):
		hint = "; it was built for musl (Alpine)"
	case strings.Contains(loader, "ld-linux"):
		hint = "; it was built for glibc (Debian, Fedora and others)"
	}
	return failure(file, unix.ENOENT, "%s needs %s, which the image does not have%s", file, visible(loader), hint)
}

// runsHere reports whether the kernel may run programs for that architecture.
func runsHere(arch string) bool {
	switch goruntime.GOARCH {
	case arch:
		return true
	case "amd64":
		return arch == "386"
	case "arm64":
		return arch == "arm"
	}
	return false
}

// loaderOf returns the path in a little-endian program's PT_INTERP header, ""
// for none, as in static programs, and for headers that make no sense.
func loaderOf(f *os.File, head []byte) string {
	const interp, class64 = 3, 2
	le := binary.LittleEndian
	offset, size, count := uint64(le.Uint32(head[28:])), le.Uint16(head[42:]), le.Uint16(head[44:])
	least := uint16(32)
	if head[4] == class64 {
		offset, size, count = le.Uint64(head[32:]), le.Uint16(head[54:]), le.Uint16(head[56:])
		least = 56
	}
	if size < least || int(size)*int(count) > maxHeaders {
		return ""
	}
	headers := make([]byte, int(size)*int(count))
	if _, err := f.ReadAt(headers, int64(offset)); err != nil {
		return ""
	}
	for ; len(headers) > 0; headers = headers[size:] {
		if le.Uint32(headers) != interp {
			continue
		}
		at, length := uint64(le.Uint32(headers[4:])), uint64(le.Uint32(headers[16:]))
		if head[4] == class64 {
			at, length = le.Uint64(headers[8:]), le.Uint64(headers[32:])
		}
		if length < 2 || length > unix.PathMax {
			return ""
		}
		name := make([]byte, length)
		if _, err := f.ReadAt(name, int64(at)); err != nil {
			return ""
		}
		name, _, _ = bytes.Cut(name, []byte("\x00"))
		return string(name)
	}
	return ""
}

// foreignFormats reports whether the kernel executes more than ELF and scripts:
// with binfmt_misc an image for another machine may run under an emulator.
func foreignFormats() bool {
	entries, err := os.ReadDir("/proc/sys/fs/binfmt_misc")
	if err != nil {
		return false
	}
	for _, e := range entries {
		if e.Name() != "register" && e.Name() != "status" {
			return true
		}
	}
	return false
}
