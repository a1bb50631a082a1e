package rootfs

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// elfFile makes a program's headers, with a loader where one is named.
func elfFile(machine uint16, loader string) string {
	le := binary.LittleEndian
	b := make([]byte, 64+56)
	copy(b, "\x7fELF\x02\x01\x01")
	le.PutUint16(b[16:], 2)
	le.PutUint16(b[18:], machine)
	le.PutUint64(b[32:], 64)
	le.PutUint16(b[54:], 56)
	le.PutUint16(b[56:], 1)
	if loader != "" {
		le.PutUint32(b[64:], 3)
		le.PutUint64(b[64+8:], uint64(len(b)))
		le.PutUint64(b[64+32:], uint64(len(loader)+1))
		b = append(b, loader+"\x00"...)
	}
	return string(b)
}

// ourMachine is the ELF number of the machine that the test runs on.
func ourMachine() uint16 {
	if goruntime.GOARCH == "arm64" {
		return 183
	}
	return 62
}

// testImage makes an image; a name that ends in / is a directory, a content
// that begins with -> is a symbolic link, names that begin with ! are not executable.
func testImage(t testing.TB, files map[string]string) *os.File {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		mode := os.FileMode(0o755)
		if strings.HasPrefix(name, "!") {
			name, mode = name[1:], 0o644
		}
		file := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(file), 0o755)
		switch target, link := strings.CutPrefix(content, "->"); {
		case err != nil:
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(file, 0o755)
		case link:
			err = os.Symlink(target, file)
		default:
			err = os.WriteFile(file, []byte(content), mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func TestLookPath(t *testing.T) {
	good, other := elfFile(ourMachine(), ""), uint16(243)
	secret := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(secret, []byte(good), 0o755); err != nil {
		t.Fatal(err)
	}
	root := testImage(t, map[string]string{
		"usr/bin/redis-server": good,
		"usr/bin/env":          good,
		"usr/bin/python3":      "->python3.11",
		"usr/bin/python3.11":   good,
		"bin":                  "->/usr/bin",
		"usr/bin/up":           "->../../../../../../usr/bin/env",
		"usr/bin/out":          "->" + secret,
		"usr/bin/proc":         "->/proc/self/exe",
		"!usr/bin/plain":       good,
		"usr/local/bin/plain":  good,
		"!usr/bin/onlyplain":   good,
		"usr/bin/dir/":         "",
		"srv/run":              good,
		"srv/sub/":             "",
		"s/ok":                 "#! /usr/bin/env\tredis-server\n",
		"s/missing":            "#!/usr/bin/nothing -x\n",
		"s/crlf":               "#!/usr/bin/env\r\necho\r\n",
		"s/envcrlf":            "#!/usr/bin/env python3\r\n",
		"s/envmissing":         "#!/usr/bin/env redis-servr\n",
		"s/envtwo":             "#!/usr/bin/env python3 -u\n",
		"s/envdash":            "#!/usr/bin/env -S nothing -u\n",
		"s/plain":              "#!/usr/bin/onlyplain\n",
		"s/none":               "#!  \n",
		"s/nested":             "#!/s/missing\n",
		"s/loop":               "#!/s/loop\n",
		"s/text":               "echo hello\n",
		"s/empty":              "",
		"s/binary":             "MZ\x00\x01",
		"s/cut":                "\x7fELF\x02\x01",
		"s/other":              elfFile(other, ""),
		"s/object":             strings.Replace(good, "\x02\x00", "\x01\x00", 1),
		"s/glibc":              elfFile(ourMachine(), "/lib64/ld-linux.so.2"),
		"s/musl":               elfFile(ourMachine(), "/lib/ld-musl-x.so.1"),
		"s/dynamic":            elfFile(ourMachine(), "/usr/bin/env"),
		"s/badloader":          elfFile(ourMachine(), "/usr/bin/dir"),
	})
	const std = "/usr/local/bin:/usr/bin"
	for _, tt := range []struct {
		path, cwd, arg0 string
		found           string // path, then what is wrong all the same
		want            string
		code            int
	}{
		{std, "/", "redis-server", "/usr/bin/redis-server", "", 0},
		{"/bin", "/", "redis-server", "/bin/redis-server", "", 0},
		{std, "/", "python3", "/usr/bin/python3", "", 0},
		{std, "/", "up", "/usr/bin/up", "", 0},
		{std, "/", "plain", "/usr/local/bin/plain", "", 0},
		{std, "/srv", "./run", "/srv/./run", "", 0},
		{std, "/srv/sub", "../run", "/srv/sub/../run", "", 0},
		{"bin:", "/srv", "run", "/srv/run", "", 0},
		{std, "/", "redis-servr", "", `executable "redis-servr" not found in $PATH (/usr/local/bin:/usr/bin); did you mean redis-server?`, 127},
		{"/opt/bin:/x", "/", "thing", "", `executable "thing" not found in $PATH (/opt/bin:/x), of which no directory exists`, 127},
		{std, "/", "", "", `the command is empty`, 127},
		{std, "/", "/usr/bin/redis-servr", "", `executable "/usr/bin/redis-servr" not found; did you mean /usr/bin/redis-server?`, 127},
		{std, "/", "/opt/app/bin/x", "", `executable "/opt/app/bin/x" not found: there is no /opt`, 127},
		{std, "/srv", "./rum", "", `executable "./rum" not found in /srv; did you mean /srv/run?`, 127},
		{std, "/", "/usr/bin/env/x", "", `executable "/usr/bin/env/x" not found`, 127},
		{std, "/", "out", "", "/usr/bin/out is a symbolic link to " + secret + ", which the image does not have", 127},
		{std, "/", "proc", "", "/usr/bin/proc is a symbolic link to /proc/self/exe, which the image does not have", 127},
		{std, "/", "onlyplain", "", `/usr/bin/onlyplain is not executable (its mode is 0644); chmod +x it in the image`, 126},
		{std, "/", "dir", "", `/usr/bin/dir is a directory`, 126},
		{std, "/", "/", "", `/ is a directory`, 126},
		{std, "/", "/s/ok", "/s/ok", ``, 0},
		{std, "/", "/s/missing", "/s/missing", `the script /s/missing needs the interpreter /usr/bin/nothing, which the image does not have`, 127},
		{std, "/", "/s/crlf", "/s/crlf", `the script /s/crlf has Windows line ends, so that its interpreter is looked for as "/usr/bin/env\r"; convert it, for example with dos2unix`, 127},
		{std, "/", "/s/envcrlf", "/s/envcrlf", `the script /s/envcrlf has Windows line ends, so that its interpreter is looked for as "python3\r"; convert it, for example with dos2unix`, 127},
		{std, "/", "/s/envmissing", "/s/envmissing", `the interpreter of the script /s/envmissing: executable "redis-servr" not found in $PATH (/usr/local/bin:/usr/bin); did you mean redis-server?`, 127},
		{std, "/", "/s/envtwo", "/s/envtwo", `the script /s/envtwo makes env look for "python3 -u", as one word; write #!/usr/bin/env -S`, 127},
		{std, "/", "/s/envdash", "/s/envdash", ``, 0},
		{std, "/", "/s/plain", "/s/plain", `the interpreter of the script /s/plain: /usr/bin/onlyplain is not executable (its mode is 0644); chmod +x it in the image`, 126},
		{std, "/", "/s/none", "/s/none", `the first line of the script /s/none names no interpreter`, 126},
		{std, "/", "/s/nested", "/s/nested", `the interpreter of the script /s/nested: the script /s/missing needs the interpreter /usr/bin/nothing, which the image does not have`, 127},
		{std, "/", "/s/text", "/s/text", `/s/text is neither a program nor a script: a script begins with a line such as #!/bin/sh`, 126},
		{std, "/", "/s/empty", "/s/empty", `/s/empty is empty`, 126},
		{std, "/", "/s/binary", "/s/binary", `/s/binary is not a program for Linux`, 126},
		{std, "/", "/s/cut", "/s/cut", `/s/cut is cut off: it ends within its ELF header`, 126},
		{std, "/", "/s/other", "/s/other", `/s/other is a program for riscv64, this machine is ` + goruntime.GOARCH, 126},
		{std, "/", "/s/object", "/s/object", `/s/object is an ELF file, but not a program`, 126},
		{std, "/", "/s/glibc", "/s/glibc", `/s/glibc needs /lib64/ld-linux.so.2, which the image does not have; it was built for glibc (Debian, Fedora and others)`, 127},
		{std, "/", "/s/musl", "/s/musl", `/s/musl needs /lib/ld-musl-x.so.1, which the image does not have; it was built for musl (Alpine)`, 127},
		{std, "/", "/s/dynamic", "/s/dynamic", ``, 0},
		{std, "/", "/s/badloader", "/s/badloader", `the loader of /s/badloader: /usr/bin/dir is a directory`, 126},
	} {
		found, err := LookPath(root, tt.path, tt.cwd, tt.arg0)
		if found != tt.found || (err == nil) != (found != "") {
			t.Errorf("LookPath(%q) = %q, %v; want %q", tt.arg0, found, err, tt.found)
		}
		if tt.found != "" && foreignFormats() && strings.Contains("/s/text /s/binary /s/other", tt.arg0) {
			continue // this machine may run them
		}
		checkExplain(t, tt.arg0, Explain(root, tt.path, tt.cwd, tt.arg0), tt.want, tt.code)
		if err != nil {
			checkExplain(t, tt.arg0, err, tt.want, tt.code)
		}
	}
	var e *LookPathError
	if err := Explain(root, std, "/", "/s/loop"); !errors.As(err, &e) || !strings.HasSuffix(e.Reason, "more than 5 scripts interpret each other, the last one is /s/loop") || e.Command != "/s/loop" {
		t.Errorf("loop: %v", err)
	}
	if _, err := LookPath(root, std, "/", "nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
}

func checkExplain(t *testing.T, arg0 string, err error, want string, code int) {
	t.Helper()
	var e *LookPathError
	switch {
	case err == nil && want == "":
	case !errors.As(err, &e):
		t.Errorf("%s: error %v, want %s", arg0, err, want)
	case e.Error() != want || e.ExitCode() != code:
		t.Errorf("%s:\n got %d %s\nwant %d %s", arg0, e.ExitCode(), e, code, want)
	}
}

// FuzzExplain looks for panics and endless loops over files that make no sense.
func FuzzExplain(f *testing.F) {
	f.Add([]byte("#!/bin/x a\n"), "x")
	f.Add([]byte(elfFile(ourMachine(), "/lib/ld.so")), "/bin/x")
	f.Add([]byte("#!/usr/bin/env x\r\n"), "../bin/./x")
	f.Add([]byte("\x7fELF\x01\x02"), "")
	root := testImage(f, map[string]string{"bin/x": "x", "bin/env": "#!/bin/x"})
	f.Fuzz(func(t *testing.T, content []byte, arg0 string) {
		file := filepath.Join(root.Name(), "bin/x")
		if err := os.WriteFile(file, content, 0o755); err != nil {
			t.Fatal(err)
		}
		found, err := LookPath(root, "/bin:", "/", arg0)
		if (found == "") != (err != nil) {
			t.Fatalf("LookPath(%q) = %q, %v", arg0, found, err)
		}
		if deep := Explain(root, "/bin:", "/", arg0); err != nil && deep == nil {
			t.Fatalf("LookPath(%q): %v, Explain finds nothing", arg0, err)
		}
	})
}
