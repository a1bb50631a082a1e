package runtime

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/program"
	"golang.org/x/sys/unix"
)

// capabilities are a process's five sets, a bit for each (capabilities(7)).
type capabilities struct {
	bounding, effective, permitted, inheritable, ambient uint64
}

// capNames are in the order of their numbers (linux/capability.h).
var capNames = [...]string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
	"LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
	"SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
	"SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
	"MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
	"CHECKPOINT_RESTORE",
}

// parseCapabilities reads a spec's sets. Without them a process has none. Names
// that mean nothing are left out: they may be those of a newer kernel.
func parseCapabilities(c *specs.LinuxCapabilities) (caps capabilities, unknown []string, err error) {
	if c == nil {
		return caps, nil, nil
	}
	for _, set := range []struct {
		list []string
		into *uint64
	}{
		{c.Bounding, &caps.bounding}, {c.Effective, &caps.effective}, {c.Permitted, &caps.permitted},
		{c.Inheritable, &caps.inheritable}, {c.Ambient, &caps.ambient},
	} {
		for _, name := range set.list {
			bit, ok := capBit(name)
			if !ok && !slices.Contains(unknown, name) {
				unknown = append(unknown, name)
			}
			*set.into |= bit
		}
	}
	// The kernel would refuse them one by one with less to say.
	if more := caps.effective &^ caps.permitted; more != 0 {
		return caps, nil, fmt.Errorf("process.capabilities.effective: %s not in permitted", capList(more))
	}
	return caps, unknown, nil
}

// settleAmbient takes out of the ambient set what the kernel has there only if it is
// permitted and inheritable too, and returns it. runc and crun do so; what their
// commands called spec wrote for years has ambient capabilities that nobody inherits.
func (c *capabilities) settleAmbient() (out uint64) {
	out = c.ambient &^ (c.permitted & c.inheritable)
	c.ambient &^= out
	return out
}

// tellIgnored tells what of the process's configuration has no effect here.
func (r *Runtime) tellIgnored(id *identity, name string) {
	if len(id.unknown) > 0 {
		r.log().Warn("capabilities are ignored, which the kernel does not know", "id", name, "capabilities", strings.Join(id.unknown, ", "))
	}
	if id.hollow != 0 && id.User.UID != 0 { // root has what is permitted all the same
		r.log().Warn("capabilities in process.capabilities.ambient are not the user's: they would have to be in permitted and inheritable too",
			"id", name, "capabilities", capList(id.hollow))
	}
	if id.ApparmorProfile != "" && !hasAppArmor() {
		r.log().Warn("the AppArmor profile is ignored: the kernel's module is off", "id", name, "profile", id.ApparmorProfile)
	}
	if id.SelinuxLabel != "" && !hasSELinux() {
		r.log().Warn("the SELinux label is ignored: the kernel's module is off", "id", name, "label", id.SelinuxLabel)
	}
}

// KnownCapability tells whether there is a capability called name ("CAP_KILL").
func KnownCapability(name string) bool {
	_, ok := capBit(name)
	return ok
}

func capBit(name string) (uint64, bool) {
	short, ok := strings.CutPrefix(strings.ToUpper(name), "CAP_")
	for i, n := range capNames {
		if ok && n == short {
			return 1 << i, true
		}
	}
	return 0, false
}

func capList(set uint64) string {
	var names []string
	for i, n := range capNames {
		if set>>i&1 != 0 {
			names = append(names, "CAP_"+n)
		}
	}
	return strings.Join(names, ", ")
}

// all are the capabilities that are in any of the sets.
func (c capabilities) all() uint64 {
	return c.bounding | c.effective | c.permitted | c.inheritable | c.ambient
}

// within leaves out what is not in set.
func (c capabilities) within(set uint64) capabilities {
	return capabilities{c.bounding & set, c.effective & set, c.permitted & set, c.inheritable & set, c.ambient & set}
}

// available returns those capabilities of set that the calling thread can pass
// on: what root executes has what is in its bounding set, but under
// no_new_privs nothing that it has not itself.
func available(set uint64) uint64 {
	passed := ^uint64(0)
	if on, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err == nil && on == 1 {
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		if unix.Capget(&header, &data[0]) == nil {
			passed = uint64(data[0].Permitted) | uint64(data[1].Permitted)<<32
		}
	}
	for i := range capNames {
		if set>>i&1 == 0 {
			continue
		}
		// A capability that the kernel does not know is an error.
		if has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(i), 0, 0, 0); err != nil || has == 0 {
			passed &^= 1 << i
		}
	}
	return set & passed
}

// passOn leaves out the capabilities that the caller cannot pass on, with a line
// in the log, as runc does: capset(2) would refuse all of them. In a user
// namespace of its own a process has them all.
func (r *Runtime) passOn(c capabilities, id string) capabilities {
	all := c.all()
	have := available(all)
	if have == all {
		return c
	}
	r.log().Warn("capabilities are left out, which this process has not itself", "id", id, "capabilities", capList(all&^have))
	return c.within(have)
}

// bound appends the steps that drop what the bounding set lacks.
func (c capabilities) bound(p *program.Program) {
	for i, name := range capNames {
		if c.bounding>>i&1 == 0 {
			// A kernel may know fewer, and the caller may lack some.
			prctl(p, unix.PR_CAPBSET_DROP, "PR_CAPBSET_DROP", i).Tolerate(unix.EINVAL).
				For("drop from the bounding set", "CAP_"+name)
		}
	}
}

// set appends the steps that set the other four.
func (c capabilities) set(p *program.Program) {
	le := binary.LittleEndian
	header := le.AppendUint32(nil, unix.LINUX_CAPABILITY_VERSION_3)
	header = le.AppendUint32(header, 0)
	var data []byte
	for _, shift := range []int{0, 32} {
		for _, set := range []uint64{c.effective, c.permitted, c.inheritable} {
			data = le.AppendUint32(data, uint32(set>>shift))
		}
	}
	show := fmt.Sprintf("{effective=%#x, permitted=%#x, inheritable=%#x}", c.effective, c.permitted, c.inheritable)
	p.Call(unix.SYS_CAPSET, p.Bytes(header, "{_LINUX_CAPABILITY_VERSION_3, 0}"), p.Bytes(data, show)).
		For("set", "the capabilities")
	zero := program.Int(0)
	for i, name := range capNames {
		if c.ambient>>i&1 != 0 {
			p.Call(unix.SYS_PRCTL, program.Sym(unix.PR_CAP_AMBIENT, "PR_CAP_AMBIENT"),
				program.Sym(unix.PR_CAP_AMBIENT_RAISE, "PR_CAP_AMBIENT_RAISE"), program.Int(i), zero, zero).
				For("raise ambient capability", "CAP_"+name)
		}
	}
}
