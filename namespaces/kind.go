package namespaces

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Kind is a kind of namespace, by the name that the OCI runtime specification
// uses in linux.namespaces[].type.
type Kind string

// The kinds of namespaces, namespaces(7).
const (
	Cgroup  Kind = "cgroup"
	IPC     Kind = "ipc"
	Mount   Kind = "mount"
	Network Kind = "network"
	PID     Kind = "pid"
	Time    Kind = "time"
	User    Kind = "user"
	UTS     Kind = "uts"
)

// kindInfo is what the kernel calls a kind. enter: one thread of a process may
// setns to it alone and go back. make: New can make it.
type kindInfo struct {
	kind        Kind
	flag        int
	proc        string
	enter, make bool
}

// kinds excludes from enter: mount, which wants a thread that shares its root
// and working directory with nobody; user and time, which want a process of one
// thread; pid, which concerns children only and makes clone of a thread fail.
var kinds = [...]kindInfo{
	{kind: Cgroup, flag: unix.CLONE_NEWCGROUP, proc: "cgroup", enter: true},
	{kind: IPC, flag: unix.CLONE_NEWIPC, proc: "ipc", enter: true, make: true},
	{kind: Mount, flag: unix.CLONE_NEWNS, proc: "mnt"},
	{kind: Network, flag: unix.CLONE_NEWNET, proc: "net", enter: true, make: true},
	{kind: PID, flag: unix.CLONE_NEWPID, proc: "pid"},
	{kind: Time, flag: unix.CLONE_NEWTIME, proc: "time"},
	{kind: User, flag: unix.CLONE_NEWUSER, proc: "user"},
	{kind: UTS, flag: unix.CLONE_NEWUTS, proc: "uts", enter: true, make: true},
}

// Kinds returns all kinds in alphabetical order.
func Kinds() []Kind {
	all := make([]Kind, len(kinds))
	for i := range kinds {
		all[i] = kinds[i].kind
	}
	return all
}

func (k Kind) info() kindInfo {
	for _, i := range kinds {
		if i.kind == k {
			return i
		}
	}
	return kindInfo{kind: k}
}

// Valid reports whether k is one of the kinds that Linux has.
func (k Kind) Valid() bool { return k.info().flag != 0 }

// Flag returns the CLONE_NEW… flag of the kind for clone(2), unshare(2) and
// setns(2), or 0 for an unknown kind.
func (k Kind) Flag() int { return k.info().flag }

// ProcName returns the name of the kind's file in /proc/PID/ns ("net" for
// Network), or "" for an unknown kind.
func (k Kind) ProcName() string { return k.info().proc }

// kindOfFlag is the reverse of Flag; NS_GET_NSTYPE answers with a flag.
func kindOfFlag(flag int) (Kind, error) {
	for _, i := range kinds {
		if i.flag == flag {
			return i.kind, nil
		}
	}
	return "", fmt.Errorf("%w: the kernel calls it %#x", ErrKind, flag)
}
