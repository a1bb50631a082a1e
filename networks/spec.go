package networks

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/peapod/peapod/internal/nearest"
)

// Mode is a way of giving a namespace its network.
type Mode string

// The modes.
const (
	None   Mode = "none"
	Host   Mode = "host"
	Bridge Mode = "bridge"
	CNI    Mode = "cni"
	// Pasta and Slirp are programs that carry connections between sockets of the
	// host and the namespace, pasta(1) and slirp4netns(1). They take no privilege.
	Pasta Mode = "pasta"
	Slirp Mode = "slirp4netns"
	// Auto is a bridge where the kernel has what that takes, and none
	// elsewhere; for an ordinary user it is pasta or slirp4netns where these are
	// installed.
	Auto Mode = "auto"
)

// DefaultBridge is the name of the bridge when none is given.
const DefaultBridge = "peapod0"

// maxBridge leaves room in the name of a link (15 bytes) for a pod's number.
const maxBridge = 10

// Spec says which network a pod gets. The zero value is none.
type Spec struct {
	Mode Mode
	// Name is the bridge's, or the CNI network's.
	Name string
	// Subnets are the bridge's, at most one of each family. A new bridge
	// gets some that are free when there are none; of one that exists its
	// own are used, and others here are an error.
	Subnets []netip.Prefix
	// MTU of a new bridge in bytes. 0: that of the host's default route.
	MTU int
}

// Parse reads a network: "none", "host", "pasta", "slirp4netns", "cni:NAME", or "bridge" or "auto", with
// the details that differ from the usual ones, such as
// "bridge:shop0,subnet=10.9.0.0/24,subnet=fd00:9::/64,mtu=1400". Errors wrap
// [ErrInvalid].
func Parse(text string) (Spec, error) {
	head, details, detailed := strings.Cut(text, ",")
	mode, name, named := strings.Cut(head, ":")
	if mode == "slirp" {
		mode = string(Slirp)
	}
	s := Spec{Mode: Mode(mode), Name: name}
	err := s.parse(named)
	if err == nil && detailed {
		err = s.details(details)
	}
	if err == nil {
		err = s.check()
	}
	if err != nil {
		return Spec{}, &Error{Op: "read", Target: fmt.Sprintf("network %q", text), Err: &worded{err.Error(), errors.Join(ErrInvalid, err)}}
	}
	return s, nil
}

// bridged tells whether the spec is about a bridge.
func (s *Spec) bridged() bool { return s.Mode == Bridge || s.Mode == Auto }

func (s *Spec) parse(named bool) error {
	switch s.Mode {
	case None, Host, Pasta, Slirp:
		if named {
			return fmt.Errorf("%s has no name", s.Mode)
		}
	case Bridge, Auto:
		if !named {
			s.Name = DefaultBridge
		}
	case CNI:
	default:
		const all = "want none, host, bridge, auto, pasta, slirp4netns or cni:NAME"
		if near := nearest.Name(string(s.Mode), []string{"none", "host", "bridge", "auto", "pasta", "slirp4netns", "cni"}); near != "" {
			return fmt.Errorf("did you mean %s? (%s)", near, all)
		}
		return errors.New(all)
	}
	return nil
}

func (s *Spec) details(text string) error {
	if !s.bridged() {
		return fmt.Errorf("%s has no details", s.Mode)
	}
	for detail := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(detail, "=")
		switch key {
		case "subnet":
			p, err := netip.ParsePrefix(value)
			if err != nil {
				return fmt.Errorf("subnet %q: want one such as 10.9.0.0/24", value)
			}
			s.Subnets = append(s.Subnets, p)
		case "mtu":
			n, err := strconv.Atoi(value)
			if err != nil || n == 0 {
				return fmt.Errorf("mtu %q: want a number of bytes", value)
			}
			s.MTU = n
		default:
			return fmt.Errorf("detail %q: want subnet=PREFIX or mtu=BYTES", detail)
		}
	}
	return nil
}

// check refuses what no kernel or CNI would take.
func (s *Spec) check() error {
	switch s.Mode {
	case CNI:
		if s.Name == "" {
			return errors.New("a CNI network has a name: want cni:NAME")
		}
		if !plainName(s.Name, 255) {
			return fmt.Errorf("name %q of a CNI network: want cni:NAME, of letters, digits, dots, dashes and underscores", s.Name)
		}
		return nil
	case Bridge, Auto:
	default:
		return nil
	}
	if !plainName(s.Name, maxBridge) {
		return fmt.Errorf("name %q of a bridge: want 1 to %d letters, digits, dots, dashes and underscores", s.Name, maxBridge)
	}
	// 1280 is the least that IPv6 works with, RFC 8200.
	if s.MTU != 0 && (s.MTU < 1280 || s.MTU > 65535) {
		return fmt.Errorf("mtu %d: want 1280 to 65535", s.MTU)
	}
	return checkSubnets(s.Subnets)
}

func checkSubnets(list []netip.Prefix) error {
	for i, p := range list {
		switch {
		case !p.IsValid() || p.Addr().Is4In6():
			return fmt.Errorf("subnet %s: not an IPv4 or IPv6 prefix", p)
		case p != p.Masked():
			return fmt.Errorf("subnet %s: bits are set beyond its length; %s has none", p, p.Masked())
		case p.Addr().BitLen()-p.Bits() < 2:
			return fmt.Errorf("subnet %s: no room for a gateway and a pod", p)
		case p.Addr().IsUnspecified() || p.Addr().IsLoopback() || p.Addr().IsMulticast() || p.Addr().IsLinkLocalUnicast():
			return fmt.Errorf("subnet %s: not of addresses that can be given to pods", p)
		case slices.ContainsFunc(list[:i], func(q netip.Prefix) bool { return q.Addr().Is4() == p.Addr().Is4() }):
			return fmt.Errorf("subnet %s: a second one of its family", p)
		}
	}
	return nil
}

// plainName tells whether a name is one for a link and a file.
func plainName(name string, longest int) bool {
	ok := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_'
	}
	return name != "" && len(name) <= longest && name[0] != '.' && name[0] != '-' && strings.IndexFunc(name, func(r rune) bool { return !ok(r) }) < 0
}

// String is the text that [Parse] reads.
func (s Spec) String() string {
	text := string(s.Mode)
	if s.Mode == "" {
		text = string(None)
	}
	if s.Mode == CNI || s.bridged() && s.Name != DefaultBridge {
		text += ":" + s.Name
	}
	for _, p := range s.Subnets {
		text += ",subnet=" + p.String()
	}
	if s.MTU != 0 {
		text += ",mtu=" + strconv.Itoa(s.MTU)
	}
	return text
}
