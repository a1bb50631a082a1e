package namespaces

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Options say how new namespaces are set up. The zero value leaves them as the
// kernel makes them.
type Options struct {
	// Hostname of the uts namespace, at most 64 bytes. "": as the caller's.
	Hostname string
	// Domainname is the NIS domain of the uts namespace, at most 64 bytes.
	// "": as the caller's.
	Domainname string
	// Loopback brings up lo of the network namespace, which then has
	// 127.0.0.1/8 and, where the kernel has IPv6, ::1.
	Loopback bool
	// Sysctls are written to /proc/sys inside of the new namespaces, in
	// alphabetical order. Names are as in sysctl(8):
	// "net.ipv4.ip_unprivileged_port_start" or with slashes. Only names that
	// belong to one of the new namespaces are taken; others would change
	// the host.
	Sysctls map[string]string
}

// maxName is the kernel's __NEW_UTS_LEN.
const maxName = 64

// step is one action inside of the new namespaces.
type step struct {
	op, target string
	do         func() error
}

// plan checks the options for the given kinds and lists what is to be done.
func (o Options) plan(kinds []Kind) ([]step, error) {
	if len(kinds) == 0 {
		return nil, fmt.Errorf("%w: no kind given", ErrOption)
	}
	for _, k := range kinds {
		if !k.info().make {
			return nil, fmt.Errorf("%w: cannot make a %q namespace; want %s, %s or %s", ErrKind, k, Network, IPC, UTS)
		}
	}
	var steps []step
	for _, n := range []struct {
		op, name string
		set      func([]byte) error
	}{{"set hostname", o.Hostname, unix.Sethostname}, {"set domainname", o.Domainname, unix.Setdomainname}} {
		if n.name == "" {
			continue
		}
		if err := checkName(n.op, n.name, kinds); err != nil {
			return nil, err
		}
		steps = append(steps, step{n.op, n.name, func() error { return n.set([]byte(n.name)) }})
	}
	if o.Loopback {
		if !slices.Contains(kinds, Network) {
			return nil, fmt.Errorf("%w: loopback needs a new network namespace", ErrOption)
		}
		steps = append(steps, step{"bring up", "interface lo", loopbackUp})
	}
	sysctls, err := planSysctls(o.Sysctls, kinds)
	return append(steps, sysctls...), err
}

func checkName(op, name string, kinds []Kind) error {
	switch {
	case !slices.Contains(kinds, UTS):
		return fmt.Errorf("%w: %s %q: needs a new uts namespace", ErrOption, op, name)
	case len(name) > maxName:
		return fmt.Errorf("%w: %s %q: %d bytes, the kernel takes at most %d", ErrOption, op, name, len(name), maxName)
	case strings.ContainsRune(name, 0):
		return fmt.Errorf("%w: %s %q: contains a zero byte", ErrOption, op, name)
	}
	return nil
}

// loopbackUp acts on the network namespace of the calling thread. The kernel
// gives the interface its addresses when it comes up.
func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo)
}
