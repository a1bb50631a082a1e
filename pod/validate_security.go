package pod

import (
	"fmt"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/peapod/peapod/internal/nearest"
)

// capabilityNames are those of Linux 5.9 and later, by number.
const capabilityNames = "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP " +
	"LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE " +
	"SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME " +
	"SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG " +
	"WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"

// defaultCapabilities are those that Docker and containerd give.
const defaultCapabilities = "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE " +
	"NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_CHROOT"

func (ps *problems) security(at string, s *SecurityContext) {
	ps.id(at+".runAsUser", s.RunAsUser)
	ps.id(at+".runAsGroup", s.RunAsGroup)
	ps.seccomp(at+".seccompProfile", s.SeccompProfile)
	if s.Capabilities == nil {
		return
	}
	ps.capabilities(at+".capabilities.add", s.Capabilities.Add)
	ps.capabilities(at+".capabilities.drop", s.Capabilities.Drop)
	if s.AllowPrivilegeEscalation != nil && !*s.AllowPrivilegeEscalation {
		for i, name := range s.Capabilities.Add {
			if name = strings.TrimPrefix(name, "CAP_"); name == "SYS_ADMIN" {
				ps.addf(fmt.Sprintf("%s.capabilities.add[%d]", at, i),
					"SYS_ADMIN contradicts allowPrivilegeEscalation: false; Kubernetes refuses it")
			}
		}
	}
}

func (ps *problems) capabilities(at string, names []string) {
	known := strings.Fields(capabilityNames)
	for i, name := range names {
		name = strings.TrimPrefix(name, "CAP_")
		if name == "ALL" || slices.Contains(known, name) {
			continue
		}
		hint := "see capabilities(7)"
		if near := nearest.Name(name, append(known, "ALL")); near != "" {
			hint = "did you mean " + near + "?"
		}
		ps.addf(fmt.Sprintf("%s[%d]", at, i), "unknown capability %q; %s", names[i], hint)
	}
}

// Linux returns the capabilities that a container's process gets, with their
// CAP_ and sorted: the default set, or with add: ALL all, or with drop: ALL
// none, then what add names, then without what drop names. It works on nil.
func (c *Capabilities) Linux() *specs.LinuxCapabilities {
	var add, drop []string
	if c != nil {
		add, drop = c.Add, c.Drop
	}
	set := map[string]string{}
	put := func(names []string) {
		for _, name := range names {
			if name = strings.TrimPrefix(name, "CAP_"); name != "ALL" {
				set[name] = "CAP_" + name
			}
		}
	}
	switch {
	case slices.Contains(add, "ALL") || slices.Contains(add, "CAP_ALL"):
		put(strings.Fields(capabilityNames))
	case slices.Contains(drop, "ALL") || slices.Contains(drop, "CAP_ALL"):
	default:
		put(strings.Fields(defaultCapabilities))
	}
	put(add)
	for _, name := range drop {
		delete(set, strings.TrimPrefix(name, "CAP_"))
	}
	names := make([]string, 0, len(set))
	for _, name := range sortedKeys(set) {
		names = append(names, set[name])
	}
	return &specs.LinuxCapabilities{
		Bounding: names, Effective: slices.Clone(names), Permitted: slices.Clone(names),
	}
}
