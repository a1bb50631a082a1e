package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// object makes an ELF file with a section .modinfo.
func object(t *testing.T, info string) []byte {
	t.Helper()
	const names = "\x00.modinfo\x00.shstrtab\x00"
	h := elf.Header64{Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: 1, Ehsize: 64, Shentsize: 64, Shnum: 3, Shstrndx: 2}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	h.Shoff = uint64(64 + len(info) + len(names))
	var b bytes.Buffer
	for _, part := range []any{h, []byte(info + names), []elf.Section64{{},
		{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: 64, Size: uint64(len(info))},
		{Name: 10, Type: uint32(elf.SHT_STRTAB), Off: uint64(64 + len(info)), Size: uint64(len(names))},
	}} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func TestModules(t *testing.T) {
	dir := t.TempDir()
	for file, needs := range map[string]string{"a/top-most.ko": "middle_one,base", "b/middle-one.ko": "base,inside", "base.ko": "", "lost.ko": "nowhere"} {
		path := filepath.Join(dir, "kernel", file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, object(t, "license=GPL\x00depends="+needs+"\x00name=x\x00"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "modules.builtin"), []byte("kernel/fs/inside.ko\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	files, err := listModules(dir)
	if err != nil {
		t.Fatal(err)
	}
	builtin, err := readBuiltin(dir)
	if err != nil {
		t.Fatal(err)
	}
	list, err := files.closure(t.Context(), builtin, "top-most", "base", "inside")
	var names []string
	for _, m := range list {
		names = append(names, m.name)
	}
	if got := strings.Join(names, " "); err != nil || got != "base middle_one top_most" {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := files.closure(t.Context(), builtin, "lost"); err == nil || !strings.Contains(err.Error(), "lost: the kernel has no module nowhere") {
		t.Error(err)
	}
}

func TestDependency(t *testing.T) {
	about := "Package: linux-image-cloud-amd64\nDepends: linux-base, linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)\nDescription: x\n"
	if got := dependency(about, "linux-image-cloud-amd64"); got != "linux-image-6.1.0-56-cloud-amd64" {
		t.Errorf("%q", got)
	}
	if got := dependency("Depends: libc6\n", "busybox-static"); got != "" {
		t.Errorf("%q", got)
	}
}
