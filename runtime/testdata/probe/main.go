// Command probe is what the tests' containers run: a static program that tells
// what it sees. It performs operations, separated by arguments ";", and prints
// a line for each; a failed one prints the name of its errno.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	args := os.Args[1:]
	if base := filepath.Base(os.Args[0]); base != "probe" {
		fmt.Println("called as", base)
	}
	for len(args) > 0 {
		end := 0
		for end < len(args) && args[end] != ";" {
			end++
		}
		if end > 0 {
			perform(args[0], args[1:end])
		}
		args = args[min(end+1, len(args)):]
	}
}

func perform(op string, args []string) {
	f, ok := operations[op]
	if !ok {
		fmt.Println("unknown operation", op)
		os.Exit(99)
	}
	out, err := f(args)
	var errno unix.Errno
	switch {
	case errors.As(err, &errno):
		fmt.Println(unix.ErrnoName(errno))
	case err != nil:
		fmt.Println("error:", err)
	default:
		fmt.Println(out)
	}
}

var operations map[string]func(args []string) (string, error)

func init() {
	operations = map[string]func([]string) (string, error){
		"report": report,
		"echo":   func(a []string) (string, error) { return strings.Join(a, " "), nil },
		"exit":   func(a []string) (string, error) { os.Exit(number(a[0])); return "", nil },
		"stderr": func(a []string) (string, error) { fmt.Fprintln(os.Stderr, a[0]); return "", nil },
		"copy":   func([]string) (string, error) { _, err := io.Copy(os.Stdout, os.Stdin); return "", err },
		"die":    die,
		"wait":   wait,
		"cat": func(a []string) (string, error) {
			b, err := os.ReadFile(a[0])
			return strings.TrimSpace(string(b)), err
		},
		"ls": list,
		"readfd": func(a []string) (string, error) {
			b, err := io.ReadAll(os.NewFile(uintptr(number(a[0])), "fd"))
			return string(b), err
		},
		"write":   func(a []string) (string, error) { return "ok", put(a[0], a[1], os.O_WRONLY) },
		"create":  func(a []string) (string, error) { return "ok", put(a[0], a[1], os.O_WRONLY|os.O_CREATE|os.O_TRUNC) },
		"mkdir":   func(a []string) (string, error) { return "ok", os.Mkdir(a[0], 0o777) },
		"stat":    stat,
		"link":    func(a []string) (string, error) { return os.Readlink(a[0]) },
		"mount":   func(a []string) (string, error) { return "ok", unix.Mount("x", a[0], "tmpfs", 0, "") },
		"ptrace":  func(a []string) (string, error) { return "ok", unix.PtraceAttach(number(a[0])) },
		"connect": connect,
		"listen":  listen,
		"sethost": func(a []string) (string, error) { return "ok", unix.Sethostname([]byte(a[0])) },
		"chown":   func(a []string) (string, error) { return "ok", os.Chown(a[0], number(a[1]), number(a[1])) },
		"raise":   raise,
		"spin":    spin,
		"spy":     spy,
		"exec":    func(a []string) (string, error) { return "", unix.Exec(a[0], a, os.Environ()) },
	}
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

func put(path, text string, flags int) error {
	f, err := os.OpenFile(path, flags, 0o666)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text)
	return err
}

func list(args []string) (string, error) {
	entries, err := os.ReadDir(args[0])
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " "), err
}

// stat tells type, mode, owner and device.
func stat(args []string) (string, error) {
	var st unix.Stat_t
	if err := unix.Lstat(args[0], &st); err != nil {
		return "", err
	}
	kind := map[uint32]string{unix.S_IFDIR: "dir", unix.S_IFREG: "file", unix.S_IFCHR: "char", unix.S_IFBLK: "block", unix.S_IFLNK: "link", unix.S_IFIFO: "fifo", unix.S_IFSOCK: "socket"}[st.Mode&unix.S_IFMT]
	return fmt.Sprintf("%s %#o %d:%d %d:%d", kind, st.Mode&0o7777, st.Uid, st.Gid, unix.Major(st.Rdev), unix.Minor(st.Rdev)), nil
}

// die ends by a signal, which the first process of a pid namespace can only
// send from a child or not at all.
func die(args []string) (string, error) {
	signal.Reset()
	if err := unix.Kill(os.Getpid(), unix.Signal(number(args[0]))); err != nil {
		return "", err
	}
	return "", unix.Pause()
}

// wait waits for a signal and tells its name; SIGTERM ends the probe. It says
// "ready" before.
func wait([]string) (string, error) {
	c := make(chan os.Signal, 10)
	signal.Notify(c, unix.SIGTERM, unix.SIGINT, unix.SIGUSR1, unix.SIGHUP, unix.SIGWINCH)
	fmt.Println("ready")
	s := <-c
	if s == unix.SIGTERM {
		os.Exit(0)
	}
	return unix.SignalName(s.(unix.Signal)), nil
}

func connect(args []string) (string, error) {
	c, err := net.Dial("tcp", args[0])
	if err != nil {
		return "", err
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	return string(b), err
}

// listen answers one connection.
func listen(args []string) (string, error) {
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return "", err
	}
	go func() {
		for {
			if c, err := l.Accept(); err == nil {
				fmt.Fprint(c, args[1])
				c.Close()
			}
		}
	}()
	return "listening", nil
}

func raise(args []string) (string, error) {
	limit := unix.Rlimit{Cur: uint64(number(args[1])), Max: uint64(number(args[1]))}
	return "ok", unix.Setrlimit(number(args[0]), &limit)
}

func spin(args []string) (string, error) {
	for end := time.Now().Add(time.Duration(number(args[0])) * time.Millisecond); time.Now().Before(end); {
	}
	return "ok", nil
}

// spy looks, until it is told to end by the file args[0], at every other
// process that appears: whether it can be traced and its memory, root and
// descriptors be opened. It tells the names of those that it got in.
func spy(args []string) (string, error) {
	fmt.Println("ready")
	seen, open := map[string]bool{}, map[string]bool{}
	for {
		if _, err := os.Stat(args[0]); err == nil {
			break
		}
		dirs, _ := filepath.Glob("/proc/[0-9]*")
		for _, dir := range dirs {
			if dir == "/proc/1" || dir == "/proc/"+strconv.Itoa(os.Getpid()) {
				continue
			}
			exe, err := os.Readlink(dir + "/exe")
			if err == nil && strings.Contains(exe, "/bin/probe") {
				continue // has executed its command
			}
			seen[dir] = true
			for _, name := range []string{"/root/.", "/cwd/.", "/fd", "/fd/0", "/mem", "/maps", "/environ"} {
				f, err := os.Open(dir + name)
				if err != nil {
					continue
				}
				b := make([]byte, 1)
				_, err = f.Read(b)
				names, err2 := f.Readdirnames(1)
				f.Close()
				// It may have executed its command meanwhile.
				if exe, _ := os.Readlink(dir + "/exe"); strings.Contains(exe, "/bin/probe") || exe == "" {
					continue
				}
				if err == nil || err2 == nil && len(names) > 0 {
					open[name+" of "+exe] = true
				}
			}
			if exe != "" {
				open["exe "+exe] = true
			}
		}
	}
	b, err := json.Marshal(map[string]any{"seen": len(seen), "open": open})
	return string(b), err
}

// Report is what a process tells about itself.
type Report struct {
	Pid, Ppid, Sid  int
	UID, GID        int
	Groups          []int
	Umask           int
	Cwd, Host       string
	Domain          string
	Env, Args       []string
	Status          map[string]string
	Limits          map[string][2]uint64
	Files           map[string]string
	Mounts          []string
	Namespaces      map[string]string
	Cgroup          string
	OOMScoreAdj     string
	Interfaces      []string
	Size            [2]uint16
	Foreground      int
	TTY             bool
	UIDMap, Keyring string
}

func report([]string) (string, error) {
	r := Report{
		Pid: os.Getpid(), Ppid: os.Getppid(), UID: os.Geteuid(), GID: os.Getegid(),
		Env: os.Environ(), Args: os.Args,
		Status: map[string]string{}, Limits: map[string][2]uint64{}, Files: map[string]string{}, Namespaces: map[string]string{},
	}
	r.Sid, _ = unix.Getsid(0)
	r.Groups, _ = os.Getgroups()
	r.Umask = unix.Umask(0)
	unix.Umask(r.Umask)
	r.Cwd, _ = unix.Getwd()
	var uts unix.Utsname
	unix.Uname(&uts)
	r.Host, r.Domain = unix.ByteSliceToString(uts.Nodename[:]), unix.ByteSliceToString(uts.Domainname[:])
	for _, line := range lines("/proc/self/status") {
		name, value, _ := strings.Cut(line, ":")
		r.Status[name] = strings.TrimSpace(value)
	}
	for name, n := range map[string]int{"NOFILE": unix.RLIMIT_NOFILE, "CORE": unix.RLIMIT_CORE, "NPROC": unix.RLIMIT_NPROC, "AS": unix.RLIMIT_AS, "FSIZE": unix.RLIMIT_FSIZE} {
		var l unix.Rlimit
		unix.Prlimit(0, n, nil, &l)
		r.Limits[name] = [2]uint64{l.Cur, l.Max}
	}
	fds, _ := os.ReadDir("/proc/self/fd")
	for _, e := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && !strings.HasPrefix(to, "anon_inode:[event") && !strings.HasPrefix(to, "/proc/") && !strings.HasPrefix(to, "/sys/fs/cgroup") {
			r.Files[e.Name()] = to
		}
	}
	r.Mounts = lines("/proc/self/mountinfo")
	namespaces, _ := os.ReadDir("/proc/self/ns")
	for _, e := range namespaces {
		r.Namespaces[e.Name()], _ = os.Readlink("/proc/self/ns/" + e.Name())
	}
	cgroup, _ := os.ReadFile("/proc/self/cgroup")
	r.Cgroup = string(cgroup)
	adj, _ := os.ReadFile("/proc/self/oom_score_adj")
	r.OOMScoreAdj = strings.TrimSpace(string(adj))
	interfaces, _ := net.Interfaces()
	for _, i := range interfaces {
		r.Interfaces = append(r.Interfaces, i.Name+" "+i.Flags.String())
	}
	if size, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ); err == nil {
		r.TTY, r.Size = true, [2]uint16{size.Row, size.Col}
		r.Foreground, _ = unix.IoctlGetInt(0, unix.TIOCGPGRP)
	}
	maps, _ := os.ReadFile("/proc/self/uid_map")
	r.UIDMap = strings.Join(strings.Fields(string(maps)), " ")
	if key, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false); err == nil {
		r.Keyring, _ = unix.KeyctlString(unix.KEYCTL_DESCRIBE, key)
	}
	b, err := json.Marshal(r)
	return string(b), err
}

func lines(path string) []string {
	b, _ := os.ReadFile(path)
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}
