// Package report is what a process of a test's container tells about itself.
package report

import (
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Process is a process as it sees itself.
type Process struct {
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

// Self looks at the calling process.
func Self() *Process {
	r := &Process{
		Pid: os.Getpid(), Ppid: os.Getppid(), UID: os.Geteuid(), GID: os.Getegid(),
		Env: os.Environ(), Args: os.Args,
		Cgroup: read("/proc/self/cgroup"), OOMScoreAdj: strings.TrimSpace(read("/proc/self/oom_score_adj")),
		UIDMap: strings.Join(strings.Fields(read("/proc/self/uid_map")), " "),
		Mounts: lines("/proc/self/mountinfo"),
	}
	r.Sid, _ = unix.Getsid(0)
	r.Groups, _ = os.Getgroups()
	r.Umask = unix.Umask(0)
	unix.Umask(r.Umask)
	r.Cwd, _ = unix.Getwd()
	var uts unix.Utsname
	unix.Uname(&uts)
	r.Host, r.Domain = unix.ByteSliceToString(uts.Nodename[:]), unix.ByteSliceToString(uts.Domainname[:])
	r.limits()
	r.tables()
	interfaces, _ := net.Interfaces()
	for _, i := range interfaces {
		r.Interfaces = append(r.Interfaces, i.Name+" "+i.Flags.String())
	}
	if size, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ); err == nil {
		r.TTY, r.Size = true, [2]uint16{size.Row, size.Col}
		r.Foreground, _ = unix.IoctlGetInt(0, unix.TIOCGPGRP)
	}
	if key, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false); err == nil {
		r.Keyring, _ = unix.KeyctlString(unix.KEYCTL_DESCRIBE, key)
	}
	return r
}

func (r *Process) limits() {
	r.Limits = map[string][2]uint64{}
	for name, n := range map[string]int{"NOFILE": unix.RLIMIT_NOFILE, "CORE": unix.RLIMIT_CORE, "NPROC": unix.RLIMIT_NPROC, "AS": unix.RLIMIT_AS, "FSIZE": unix.RLIMIT_FSIZE} {
		var l unix.Rlimit
		unix.Prlimit(0, n, nil, &l)
		r.Limits[name] = [2]uint64{l.Cur, l.Max}
	}
}

// tables reads what procfs has a table or a directory of.
func (r *Process) tables() {
	r.Status, r.Files, r.Namespaces = map[string]string{}, map[string]string{}, map[string]string{}
	for _, line := range lines("/proc/self/status") {
		name, value, _ := strings.Cut(line, ":")
		r.Status[name] = strings.TrimSpace(value)
	}
	fds, _ := os.ReadDir("/proc/self/fd")
	for _, e := range fds {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && !strings.HasPrefix(to, "anon_inode:[event") && !strings.HasPrefix(to, "/proc/") && !strings.HasPrefix(to, "/sys/fs/cgroup") {
			r.Files[e.Name()] = to
		}
	}
	namespaces, _ := os.ReadDir("/proc/self/ns")
	for _, e := range namespaces {
		r.Namespaces[e.Name()], _ = os.Readlink("/proc/self/ns/" + e.Name())
	}
}

// Mount finds the mount on a directory: its options, the type, the super
// block's options, and the optional fields; the last one is on top.
func (r *Process) Mount(dir string) (options, kind, super, optional string) {
	for _, line := range r.Mounts {
		left, right, _ := strings.Cut(line, " - ")
		l, f := strings.Fields(left), strings.Fields(right)
		if len(l) > 5 && len(f) > 2 && l[4] == dir {
			options, kind, super, optional = l[5], f[0], f[2], strings.Join(l[6:], " ")
		}
	}
	return options, kind, super, optional
}

func read(path string) string {
	b, _ := os.ReadFile(path)
	return string(b)
}

func lines(path string) []string { return strings.Split(strings.TrimSpace(read(path)), "\n") }
