package networks

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// sysctls is where the settings of the calling thread's network namespace are.
const sysctls = "/proc/sys/net/"

func readSysctl(name string) string {
	data, _ := os.ReadFile(sysctls + name)
	return strings.TrimSpace(string(data))
}

// setSysctl writes a setting that has another value. One that this kernel does
// not have is left out.
func setSysctl(name, value string) error {
	if readSysctl(name) == value {
		return nil
	}
	f, err := os.OpenFile(sysctls+name, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		_, err = f.WriteString(value)
		f.Close()
	}
	return fail("set sysctl net/"+name+" to", value, err)
}

// hasIPv6 tells whether new links of the calling thread's network namespace
// have IPv6.
func hasIPv6() bool { return readSysctl("ipv6/conf/default/disable_ipv6") == "0" }

// forward makes the host pass packets on from one link to another.
func forward(v4, v6 bool) error {
	if v4 {
		if err := setSysctl("ipv4/ip_forward", "1"); err != nil {
			return err
		}
	}
	if !v6 || readSysctl("ipv6/conf/all/forwarding") == "1" {
		return nil
	}
	if err := keepRouters(); err != nil {
		return err
	}
	return setSysctl("ipv6/conf/all/forwarding", "1")
}

// keepRouters keeps the host's own IPv6 routes: one that forwards heeds what
// routers announce only where accept_ra is 2.
func keepRouters() error {
	list, _ := filepath.Glob(sysctls + "ipv6/conf/*/accept_ra")
	for _, path := range list {
		name := strings.TrimPrefix(path, sysctls)
		if readSysctl(name) != "1" || name == "ipv6/conf/all/accept_ra" || name == "ipv6/conf/lo/accept_ra" {
			continue
		}
		if err := setSysctl(name, "2"); err != nil {
			return err
		}
	}
	return nil
}

// trustNoRouter keeps what other pods announce as routers from links, of the
// calling thread's network namespace, whose settings are called conf; nor are
// their addresses tried out, since nobody else can have them.
func trustNoRouter(conf string) error {
	for _, name := range []string{"accept_ra", "accept_dad"} {
		if err := setSysctl("ipv6/conf/"+conf+"/"+name, "0"); err != nil {
			return err
		}
	}
	return nil
}
