package runtime

import (
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// hasAppArmor tells whether the kernel's AppArmor is switched on.
var hasAppArmor = sync.OnceValue(func() bool {
	data, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	return err == nil && strings.HasPrefix(string(data), "Y")
})

// hasSELinux tells whether SELinux has a policy: its file system is mounted then.
var hasSELinux = sync.OnceValue(func() bool {
	var st unix.Statfs_t
	return unix.Statfs("/sys/fs/selinux", &st) == nil && st.Type == unix.SELINUX_MAGIC
})

// labels are what the process becomes with its execve: its AppArmor profile and
// its SELinux label, where the kernel has these.
func (id *identity) labels() (list []setting) {
	if profile := id.ApparmorProfile; profile != "" && hasAppArmor() {
		list = append(list, setting{appArmorFile(), "exec " + profile, "process.apparmorProfile " + profile})
	}
	if label := id.SelinuxLabel; label != "" && hasSELinux() {
		list = append(list, setting{"thread-self/attr/exec", label, "process.selinuxLabel " + label})
	}
	return list
}

// appArmorFile is AppArmor's own (Linux 5.8), or before that the one of whichever
// module is the kernel's first.
func appArmorFile() string {
	if _, err := os.Stat("/proc/self/attr/apparmor/exec"); err == nil {
		return "thread-self/attr/apparmor/exec"
	}
	return "thread-self/attr/exec"
}
