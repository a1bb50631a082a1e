package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// member is what an archive has of a file.
type member struct {
	entry
	name, content string
}

// members reads an archive as the kernel does (init/initramfs.c): headers and
// contents begin at multiples of four.
func members(t *testing.T, data []byte) (list []member) {
	t.Helper()
	for at := 0; ; {
		var f [13]uint32
		header := string(data[at : at+110])
		if header[:6] != "070701" {
			t.Fatalf("at %d: magic %q", at, header[:6])
		}
		for i := range f {
			if _, err := fmt.Sscanf(header[6+8*i:14+8*i], "%08x", &f[i]); err != nil {
				t.Fatal(err)
			}
		}
		name := string(data[at+110 : at+110+int(f[11])])
		if !strings.HasSuffix(name, "\x00") {
			t.Fatalf("the name %q has no end", name)
		}
		at = (at + 110 + int(f[11]) + 3) &^ 3
		m := member{entry{f[1], f[2], f[3], unix.Mkdev(f[9], f[10]), f[5]}, name[:len(name)-1], string(data[at : at+int(f[6])])}
		at = (at + int(f[6]) + 3) &^ 3
		if m.name == "TRAILER!!!" {
			if at != len(data) {
				t.Errorf("%d bytes behind the end", len(data)-at)
			}
			return list
		}
		list = append(list, m)
	}
}

func TestArchive(t *testing.T) {
	var b bytes.Buffer
	a := newArchive(&b)
	for _, err := range []error{
		a.text("/a/b/file", 0o640, "five5"),
		a.text("a/b/empty", 0o4755, ""),
		a.link("a/link", "../x"),
		a.add("dev/null", entry{mode: unix.S_IFCHR | 0o666, rdev: unix.Mkdev(1, 3)}, 0, strings.NewReader("")),
		a.close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := entry{mode: unix.S_IFDIR | 0o755}
	want := []member{
		{dir, "a", ""}, {dir, "a/b", ""},
		{entry{mode: unix.S_IFREG | 0o640}, "a/b/file", "five5"},
		{entry{mode: unix.S_IFREG | 0o4755}, "a/b/empty", ""},
		{entry{mode: unix.S_IFLNK | 0o777}, "a/link", "../x"},
		{dir, "dev", ""},
		{entry{mode: unix.S_IFCHR | 0o666, rdev: unix.Mkdev(1, 3)}, "dev/null", ""},
	}
	got := members(t, b.Bytes())
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// A tree keeps modes and links; sockets are left out.
func TestArchiveTree(t *testing.T) {
	dir := t.TempDir()
	os.Mkdir(filepath.Join(dir, "d"), 0o700)
	os.WriteFile(filepath.Join(dir, "d/f"), []byte("x"), 0o600)
	os.Symlink("f", filepath.Join(dir, "d/l"))
	if err := unix.Mkfifo(filepath.Join(dir, "p"), 0o600); err != nil {
		t.Fatal(err)
	}
	os.Chmod(filepath.Join(dir, "d"), 0o700|os.ModeSticky)
	var b bytes.Buffer
	a := newArchive(&b)
	if err := errors.Join(a.tree("root", dir), a.close()); err != nil {
		t.Fatal(err)
	}
	modes := map[string]uint32{}
	for _, m := range members(t, b.Bytes()) {
		modes[m.name] = m.mode
	}
	for name, want := range map[string]uint32{
		"root/d": unix.S_IFDIR | unix.S_ISVTX | 0o700, "root/d/f": unix.S_IFREG | 0o600,
		"root/d/l": unix.S_IFLNK | 0o777, "root/p": unix.S_IFIFO | 0o600,
	} {
		if modes[name] != want {
			t.Errorf("%s has the mode %o, not %o", name, modes[name], want)
		}
	}
}

// A file that becomes shorter meanwhile would shift all that follows.
func TestArchiveShort(t *testing.T) {
	a := newArchive(&bytes.Buffer{})
	if err := a.add("f", entry{mode: unix.S_IFREG}, 3, strings.NewReader("ab")); err == nil || !strings.Contains(err.Error(), "f ended after 2 of 3 bytes") {
		t.Error(err)
	}
}
