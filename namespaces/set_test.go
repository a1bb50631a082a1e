package namespaces

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

func TestNewIsEmpty(t *testing.T) {
	s := newSet(t, Network)
	err := Do(s.File(Network), func() error {
		links, err := net.Interfaces()
		if err == nil && (len(links) != 1 || links[0].Name != "lo" || links[0].Flags&net.FlagUp != 0) {
			t.Errorf("interfaces: %v", links)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.File(UTS) != nil || s.Path(UTS) != "" {
		t.Error("has a uts namespace that nobody asked for")
	}
	if k := s.Kinds(); len(k) != 1 || k[0] != Network {
		t.Errorf("kinds: %v", k)
	}
}

func TestOptions(t *testing.T) {
	read := func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(string(b)), " ")
	}
	watched := map[string]Kind{
		"/proc/sys/net/ipv4/ip_unprivileged_port_start": Network,
		"/proc/sys/net/ipv4/ping_group_range":           Network,
		"/proc/sys/net/ipv4/conf/lo/forwarding":         Network,
		"/proc/sys/kernel/msgmax":                       IPC,
		"/proc/sys/kernel/hostname":                     UTS,
		"/proc/sys/kernel/domainname":                   UTS,
	}
	before := map[string]string{}
	for path := range watched {
		before[path] = read(path)
	}
	s := newSetWith(t, Options{
		Hostname:   "web-1",
		Domainname: "example.org",
		Loopback:   true,
		Sysctls: map[string]string{
			"net.ipv4.ip_unprivileged_port_start": "0",
			"net/ipv4/ping_group_range":           "0 0",
			"net.ipv4.conf.lo.forwarding":         "1",
			"kernel.msgmax":                       "12345",
		},
	}, Network, IPC, UTS)
	want := map[string]string{
		"/proc/sys/net/ipv4/ip_unprivileged_port_start": "0",
		"/proc/sys/net/ipv4/ping_group_range":           "0 0",
		"/proc/sys/net/ipv4/conf/lo/forwarding":         "1",
		"/proc/sys/kernel/msgmax":                       "12345",
		"/proc/sys/kernel/hostname":                     "web-1",
		"/proc/sys/kernel/domainname":                   "example.org",
	}
	for path, kind := range watched {
		var got string
		if err := Do(s.File(kind), func() error { got = read(path); return nil }); err != nil {
			t.Fatal(err)
		}
		if got != want[path] {
			t.Errorf("%s inside is %q, want %q", path, got, want[path])
		}
		if now := read(path); now != before[path] {
			t.Errorf("%s of the host went from %q to %q", path, before[path], now)
		}
	}
	err := Do(s.File(Network), func() error {
		lo, err := net.InterfaceByName("lo")
		if err == nil && lo.Flags&net.FlagUp == 0 {
			t.Error("lo is down")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestOptionsRefused(t *testing.T) {
	all := []Kind{Network, IPC, UTS}
	sysctl := func(name string) Options { return Options{Sysctls: map[string]string{name: "1"}} }
	for _, c := range []struct {
		name  string
		o     Options
		kinds []Kind
		want  error
		text  string
	}{
		{"no kind", Options{}, nil, ErrOption, "no kind"},
		{"kind that New cannot make", Options{}, []Kind{Network, PID}, ErrKind, `"pid"`},
		{"unknown kind", Options{}, []Kind{"disk"}, ErrKind, `"disk"`},
		{"host name without uts", Options{Hostname: "a"}, []Kind{Network}, ErrOption, `hostname "a": needs a new uts`},
		{"long host name", Options{Hostname: strings.Repeat("a", 65)}, all, ErrOption, "65 bytes"},
		{"zero byte", Options{Domainname: "a\x00b"}, all, ErrOption, "zero byte"},
		{"loopback without network", Options{Loopback: true}, []Kind{UTS}, ErrOption, "network"},
		{"sysctl of the host", sysctl("kernel.pid_max"), all, ErrOption, "change the host"},
		{"sysctl of the host in disguise", sysctl("net/../kernel/pid_max"), all, ErrOption, "not a name"},
		{"empty sysctl", sysctl(""), all, ErrOption, "not a name"},
		{"absolute sysctl", sysctl("/net/ipv4/ip_forward"), all, ErrOption, "not a name"},
		{"sysctl without its kind", sysctl("net.ipv4.ip_forward"), []Kind{IPC}, ErrOption, "new network namespace"},
		{"sysctl that does not exist", sysctl("net.ipv4.no_such_thing"), all, unix.ENOENT, `set sysctl net.ipv4.no_such_thing to "1"`},
		{"value that the kernel refuses", Options{Sysctls: map[string]string{"net.ipv4.ip_forward": "x"}}, all, unix.EINVAL, "ip_forward"},
	} {
		before := testkit.Held()
		s, err := c.o.New(c.kinds...)
		if s != nil || !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.name, err)
		}
		if left := before.Leaks(); len(left) > 0 {
			t.Errorf("%s: left over: %q", c.name, left)
		}
	}
}

func TestNewWithoutPrivilege(t *testing.T) {
	var err error
	onThread(func() bool {
		hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err = unix.Capset(&hdr, &none[0]); err == nil {
			_, err = unshare([]Kind{Network}, nil)
		}
		return false
	})
	if !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "CAP_SYS_ADMIN") {
		t.Errorf("got %v", err)
	}
}

func TestSetClose(t *testing.T) {
	s := newSet(t, Network, UTS)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error("second time:", err)
	}
	if p := s.Path(Network); p != "" {
		t.Errorf("path after Close: %s", p)
	}
	if err := Do(s.File(UTS), func() error { return nil }); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Do after Close: %v", err)
	}
}

func TestThousandSets(t *testing.T) {
	before := testkit.Held()
	for range 1000 {
		s, err := Options{Hostname: "x", Loopback: true}.New(Network, IPC, UTS)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	before.Check(t)
}

func BenchmarkNew(b *testing.B) {
	for _, c := range []struct {
		name  string
		o     Options
		kinds []Kind
	}{
		{"uts", Options{}, []Kind{UTS}},
		{"ipc", Options{}, []Kind{IPC}},
		{"network", Options{}, []Kind{Network}},
		{"pod", Options{Hostname: "web", Loopback: true, Sysctls: map[string]string{
			"net.ipv4.ip_unprivileged_port_start": "0",
			"net.ipv4.ping_group_range":           "0 0",
		}}, []Kind{Network, IPC, UTS}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				s, err := c.o.New(c.kinds...)
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				s.Close()
				b.StartTimer()
			}
		})
	}
}

// TestNewAtLimit sets the limit of a user namespace of its own, by running this
// test again in there.
func TestNewAtLimit(t *testing.T) {
	const again = "NAMESPACES_TEST_LIMIT"
	if os.Getenv(again) == "" {
		c := exec.Command("/proc/self/exe", "-test.run=^TestNewAtLimit$")
		c.Env = append(os.Environ(), again+"=1")
		c.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	if err := os.WriteFile("/proc/sys/user/max_uts_namespaces", []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	s, err := New(UTS)
	if s != nil || !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "max_*_namespaces") {
		t.Errorf("got %v", err)
	}
}
