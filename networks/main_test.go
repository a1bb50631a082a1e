package networks

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/netlink"
)

// inHost is set for the run that is in a host of its own.
const inHost = "PEAPOD_TEST_HOST"

// TestMain runs the tests in a network and a mount namespace of their own,
// which is the host to them; whoever is not root gets a user namespace too.
func TestMain(m *testing.M) {
	if dir := os.Getenv(attachIn); dir != "" {
		os.Exit(attachAndWait(dir))
	}
	if os.Getenv(inHost) == "" {
		os.Exit(runInHost())
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		fmt.Fprintln(os.Stderr, "FAIL: make mounts private:", err)
		os.Exit(1)
	}
	before := descriptors()
	code := m.Run()
	if err := leaks(before); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		code = 1
	}
	os.Exit(code)
}

func runInHost() int {
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.Env = append(os.Environ(), inHost+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	if os.Geteuid() != 0 {
		c.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	err := c.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL: neither root nor user namespaces for the unprivileged:", err)
		return 1
	}
	return 0
}

// leaks tells what the tests left: files, mounts, links, tables.
func leaks(before map[string]bool) error {
	var err error
	for range 300 { // the kernel removes a namespace's links after it
		if err = leaksNow(before); err == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

func leaksNow(before map[string]bool) error {
	for fd := range descriptors() {
		if !before[fd] {
			return fmt.Errorf("descriptor %s is left", fd)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, " - nsfs ") {
			return fmt.Errorf("mount %q is left", line)
		}
	}
	c, err := netlink.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer c.Close()
	links, err := listNames(c)
	if err != nil || len(links) != 1 {
		return fmt.Errorf("links %v, %v: want lo only", links, err)
	}
	if tables := listTables(); len(tables) > 0 {
		return fmt.Errorf("tables %v are left", tables)
	}
	return nil
}

// listTables names nftables' tables of the host.
func listTables() (list []string) {
	c, err := netlink.Open(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil
	}
	defer c.Close()
	c.Get(nftables(unix.NFT_MSG_GETTABLE, unix.NLM_F_DUMP), func(body []byte) {
		for typ, value := range netlink.Attributes(body[4:]) {
			if typ == unix.NFTA_TABLE_NAME {
				list = append(list, netlink.Text(value))
			}
		}
	})
	return list
}

func descriptors() map[string]bool {
	open := map[string]bool{}
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && !strings.HasPrefix(target, "anon_inode:[event") && !strings.HasPrefix(target, "/proc/") &&
			!strings.HasSuffix(target, "/cpu.max") && !strings.HasPrefix(target, "/sys/fs/cgroup/") {
			open[e.Name()+" of "+target] = true
		}
	}
	return open
}
