package dns

import (
	"net/netip"
	"os"
	"sync"
	"time"
)

// checkEvery is how often the file is looked at, while queries come.
const checkEvery = time.Second

// HostServers are the servers that a resolv.conf names. The file is read again
// after it changed; there are no timers. The zero value is ready.
type HostServers struct {
	// Path of the file. "": /etc/resolv.conf.
	Path string

	mu      sync.Mutex
	checked time.Time
	read    os.FileInfo // nil: there was no file
	servers []netip.AddrPort
}

// defaultServers is what resolv.conf(5) says where none is named.
var defaultServers = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 53)}

// Servers returns the servers in the order of the file. One that can no longer
// be read changes nothing: it may be about to be replaced.
func (h *HostServers) Servers() []netip.AddrPort {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := time.Now(); h.servers == nil || now.Sub(h.checked) >= checkEvery {
		h.checked = now
		h.check()
	}
	return h.servers
}

func (h *HostServers) check() {
	path := h.Path
	if path == "" {
		path = "/etc/resolv.conf"
	}
	info, err := os.Stat(path)
	if err == nil && h.read != nil && sameFile(info, h.read) {
		return
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(path)
	}
	if err != nil {
		if h.servers == nil {
			h.servers = defaultServers
		}
		return
	}
	h.read, h.servers = info, defaultServers
	if found := ParseResolvConf(text).Nameservers; len(found) > 0 {
		h.servers = make([]netip.AddrPort, len(found))
		for i, a := range found {
			h.servers[i] = netip.AddrPortFrom(a, 53)
		}
	}
}

func sameFile(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
