package networks

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/netlink"
	"github.com/peapod/peapod/internal/testkit"
	"github.com/peapod/peapod/namespaces"
)

const soon = 5 * time.Second

// Pods reach each other, and nobody needs to wait for that after Attach.
func TestPodsReachEachOther(t *testing.T) {
	needsKernel(t)
	dir := t.TempDir()
	one, two := newPod(t), newPod(t)
	a, b := attach(t, optionsIn(dir, "one", one)), attach(t, optionsIn(dir, "two", two))
	if len(a.Addresses) != 2 || len(a.Gateways) != 2 || a.Interface != "eth0" || a.MTU != 1500 {
		t.Fatalf("attached as %+v", a)
	}
	for i, p := range b.Addresses {
		to := serve(t, two, p.Addr())
		seen, err := call(t, one, to, soon)
		if err != nil || seen != a.Addresses[i].Addr().String() {
			t.Errorf("to %s: seen as %q, %v; want %s", to, seen, err, a.Addresses[i].Addr())
		}
		if _, err := call(t, two, to, soon); err != nil {
			t.Errorf("to itself at %s: %v", to, err)
		}
		// The host reaches pods, and they reach the host by the gateway.
		host := ownNetns(t)
		if _, err := call(t, host, to, soon); err != nil {
			t.Errorf("from the host to %s: %v", to, err)
		}
		if seen, err := call(t, one, serve(t, host, a.Gateways[i]), soon); err != nil || seen != a.Addresses[i].Addr().String() {
			t.Errorf("to the gateway: seen as %q, %v", seen, err)
		}
	}
}

func ownNetns(t testing.TB) *os.File {
	t.Helper()
	f, err := namespaces.Open(namespaces.Network, "/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// What pods send to the outside comes from the host's address; the outside does
// not get at the pods.
func TestOutside(t *testing.T) {
	needsKernel(t)
	w := newOutside(t)
	pod := newPod(t)
	a := attach(t, options(t, "shop", pod))
	if a.MTU != 1400 {
		t.Errorf("MTU %d, want that of the way out", a.MTU)
	}
	for i, far := range []netip.Addr{w.v4, w.v6} {
		seen, err := call(t, pod, serve(t, w.netns, far), soon)
		if want := []netip.Addr{w.host4, w.ho6}[i].String(); err != nil || seen != want {
			t.Errorf("to the outside at %s: seen as %q, %v; want %s", far, seen, err, want)
		}
		routeBack(t, w, a.Addresses[i].Masked(), []netip.Addr{w.host4, w.ho6}[i])
		in := serve(t, pod, a.Addresses[i].Addr())
		if seen, err := call(t, w.netns, in, 300*time.Millisecond); err == nil {
			t.Errorf("the outside reaches the pod at %s as %s", in, seen)
		}
	}
}

// routeBack gives the outside a route to the pods over the host.
func routeBack(t *testing.T, w *outside, to netip.Prefix, via netip.Addr) {
	t.Helper()
	err := namespaces.Do(w.netns, func() error {
		c, err := netlink.Open(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer c.Close()
		l, err := findLink(c, linkNamed(inside))
		if err != nil {
			return err
		}
		b := routeHeader(family(via), to.Bits())
		b[4], b[5], b[7] = unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, unix.RTN_UNICAST
		m := netlink.New(unix.RTM_NEWROUTE, unix.NLM_F_CREATE, b)
		return c.Do(m.Attr(unix.RTA_DST, to.Addr().AsSlice()).Attr(unix.RTA_GATEWAY, via.AsSlice()).Uint32(unix.RTA_OIF, uint32(l.index)))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Other tables stay as they are, and a table that somebody flushed comes back.
func TestTable(t *testing.T) {
	needsKernel(t)
	dir := t.TempDir()
	if err := protect("other0", []netip.Prefix{prefix("10.7.0.0/24")}, true); err != nil {
		t.Fatal(err)
	}
	attach(t, optionsIn(dir, "one", newPod(t)))
	if err := unprotect(DefaultBridge); err != nil {
		t.Fatal(err)
	}
	attach(t, optionsIn(dir, "two", newPod(t)))
	if got := listTables(); !slices.Contains(got, "peapod_peapod0") || !slices.Contains(got, "peapod_other0") {
		t.Errorf("tables %v", got)
	}
	if err := unprotect("other0"); err != nil {
		t.Fatal(err)
	}
	if err := unprotect("other0"); err != nil {
		t.Errorf("once more: %v", err)
	}
}

// Attaches at the same time get addresses of their own, also with several state
// directories.
func TestConcurrent(t *testing.T) {
	needsKernel(t)
	dirs := []string{t.TempDir(), t.TempDir()}
	var group sync.WaitGroup
	var mu sync.Mutex
	seen := map[netip.Addr]string{}
	var attached []*Attachment
	for i := range 8 {
		pod := newPod(t)
		group.Go(func() {
			name := fmt.Sprint("pod", i)
			a, err := Attach(t.Context(), optionsIn(dirs[i%2], name, pod))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
				return
			}
			attached = append(attached, a)
			for _, p := range a.Addresses {
				if other := seen[p.Addr()]; other != "" {
					t.Errorf("%s and %s both have %s", name, other, p.Addr())
				}
				seen[p.Addr()] = name
			}
		})
	}
	group.Wait()
	if len(seen) != 16 {
		t.Errorf("%d addresses: %v", len(seen), seen)
	}
	for _, a := range attached {
		if err := a.Detach(t.Context()); err != nil {
			t.Error(err)
		}
	}
	for _, dir := range dirs {
		if got := left(t, dir); len(got) > 0 {
			t.Errorf("left over: %v", got)
		}
	}
}

// A pod's name is one pod's.
func TestExist(t *testing.T) {
	needsKernel(t)
	o := options(t, "shop", newPod(t))
	attach(t, o)
	other := o
	other.Netns = newPod(t)
	if _, err := Attach(t.Context(), other); !errors.Is(err, ErrExist) {
		t.Errorf("a second pod of the name: %v", err)
	}
	if err := Release(t.Context(), o.StateDir, "shop"); !errors.Is(err, ErrExist) {
		t.Errorf("release of a pod that lives: %v", err)
	}
}

// Addresses rest before they are used again, and are used again when there are
// no others.
func TestReuseAndExhaustion(t *testing.T) {
	needsKernel(t)
	dir := t.TempDir()
	o := func(pod string) Options {
		o := optionsIn(dir, pod, newPod(t))
		o.Network.Subnets = []netip.Prefix{prefix("10.9.0.0/29")} // numbers 2 to 6
		return o
	}
	var got []string
	var list []*Attachment
	for i := range 5 {
		a := attach(t, o(fmt.Sprint("pod", i)))
		got, list = append(got, a.Addresses[0].String()), append(list, a)
	}
	if want := []string{"10.9.0.2/29", "10.9.0.3/29", "10.9.0.4/29", "10.9.0.5/29", "10.9.0.6/29"}; !slices.Equal(got, want) {
		t.Errorf("addresses %v, want %v", got, want)
	}
	full := o("late")
	if _, err := Attach(t.Context(), full); !errors.Is(err, ErrExhausted) || !strings.Contains(err.Error(), "5 pods are on the bridge") {
		t.Errorf("beyond the last address: %v", err)
	}
	if got := left(t, dir); len(got) != 10 {
		t.Errorf("after the refusal: %v", got)
	}
	for _, i := range []int{3, 1} {
		if err := list[i].Detach(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// The one after the last is 2's, in use; 3 is next.
	if a := attach(t, full); a.Addresses[0] != list[1].Addresses[0] {
		t.Errorf("again %s, want %s", a.Addresses[0], list[1].Addresses[0])
	}
}

// Whatever a killed process left goes with Release, and with the next pod of
// the name.
func TestCrash(t *testing.T) {
	needsKernel(t)
	dir := t.TempDir()
	crash := func() string {
		t.Helper()
		a, err := Attach(t.Context(), optionsIn(dir, "shop", newPod(t)))
		if err != nil {
			t.Fatal(err)
		}
		a.file.Close() // as the kernel does it
		return a.HostLink
	}
	link := crash()
	if !slices.Contains(hostLinks(t), link) {
		t.Fatalf("no link %s among %v", link, hostLinks(t))
	}
	for range 2 { // the second has nothing to do
		if err := Release(t.Context(), dir, "shop"); err != nil {
			t.Fatal(err)
		}
	}
	if got := left(t, dir); len(got) > 0 || slices.Contains(hostLinks(t), link) {
		t.Errorf("left over: %v, links %v", got, hostLinks(t))
	}
	link = crash()
	a := attach(t, optionsIn(dir, "shop", newPod(t)))
	if slices.Contains(hostLinks(t), link) || a.HostLink == link {
		t.Errorf("the dead pod's link %s is there beside %v", link, hostLinks(t))
	}
}

// A lease whose pod and link are gone is given to others; so is one whose
// writer died at once. A dead pod's Release leaves the new one alone.
func TestReclaim(t *testing.T) {
	needsKernel(t)
	dir := t.TempDir()
	o := func(pod string, netns *os.File) Options {
		o := optionsIn(dir, pod, netns)
		o.Network.Subnets = []netip.Prefix{prefix("10.9.0.0/30")} // number 2 only
		return o
	}
	set, err := namespaces.New(namespaces.Network)
	if err != nil {
		t.Fatal(err)
	}
	dead, err := Attach(t.Context(), o("dead", set.File(namespaces.Network)))
	if err != nil {
		t.Fatal(err)
	}
	dead.file.Close()
	if _, err := Attach(t.Context(), o("early", newPod(t))); !errors.Is(err, ErrExhausted) {
		t.Errorf("while processes of the dead pod's namespace may be there: %v", err)
	}
	set.Close()
	for deadline := time.Now().Add(soon); slices.Contains(hostLinks(t), dead.HostLink); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the link outlives its namespace")
		}
	}
	pod := newPod(t)
	a := attach(t, o("alive", pod))
	if err := Release(t.Context(), dir, "dead"); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(hostLinks(t), a.HostLink) {
		t.Error("the release of a dead pod took the link of one that lives")
	}
	if _, err := os.Stat(a.state.lease(a.HostLink)); err != nil {
		t.Error("and its lease:", err)
	}
}

func TestClash(t *testing.T) {
	needsKernel(t)
	newOutside(t)
	o := options(t, "shop", newPod(t))
	for _, subnet := range []string{"203.0.113.0/24", "203.0.113.128/25", "203.0.0.0/16", "2001:db8::/72"} {
		o.Network.Subnets = []netip.Prefix{prefix(subnet)}
		_, err := Attach(t.Context(), o)
		if !errors.Is(err, ErrClash) || !strings.Contains(err.Error(), "the host has a route to") {
			t.Errorf("subnet %s: %v", subnet, err)
		}
		if got := hostLinks(t); slices.Contains(got, DefaultBridge) {
			t.Errorf("after the refusal: links %v", got)
		}
	}
	o.Network.Subnets = []netip.Prefix{prefix("10.9.0.0/24")}
	a := attach(t, o)
	if len(a.Addresses) != 1 || len(listTables()) != 1 {
		t.Errorf("attached as %+v, tables %v", a, listTables())
	}
	other := options(t, "other", newPod(t))
	other.Network.Subnets = []netip.Prefix{prefix("10.8.0.0/24")}
	if _, err := Attach(t.Context(), other); !errors.Is(err, ErrClash) {
		t.Errorf("another subnet for a bridge: %v", err)
	}
	other.Network = Spec{Mode: Bridge, Name: "lo"}
	if _, err := Attach(t.Context(), other); !errors.Is(err, ErrExist) {
		t.Errorf("a link that is no bridge: %v", err)
	}
}

// A bridge that somebody else made is left alone, whatever it is called.
func TestForeignBridge(t *testing.T) {
	needsKernel(t)
	c := hostConn(t)
	defer c.Close()
	m := netlink.New(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, linkHeader(0, 0)).String(unix.IFLA_IFNAME, "br7")
	m.Nest(unix.IFLA_LINKINFO, func() { m.String(unix.IFLA_INFO_KIND, "bridge") })
	if err := c.Do(m); err != nil {
		t.Fatal(err)
	}
	o := options(t, "shop", newPod(t))
	o.Network.Name = "br7"
	if _, err := Attach(t.Context(), o); !errors.Is(err, ErrExist) || !strings.Contains(err.Error(), "peapod did not make") {
		t.Errorf("attach: %v", err)
	}
	if err := removeIdle(c, "br7", noPort); err != nil || !slices.Contains(hostLinks(t), "br7") {
		t.Errorf("removed: %v", err)
	}
	if err := deleteLink(c, "br7", isBridge); err != nil {
		t.Fatal(err)
	}
	if err := removeIdle(c, "br7", noPort); err != nil {
		t.Errorf("remove what is not there: %v", err)
	}
}

// A host that begins to forward keeps the routes that routers announced to it.
func TestForward(t *testing.T) {
	err := namespaces.Do(newPod(t), func() error {
		if !hasIPv6() {
			t.Skip("IPv6 is switched off")
		}
		if err := forward(true, true); err != nil {
			return err
		}
		for name, want := range map[string]string{
			"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1", "ipv6/conf/default/accept_ra": "2", "ipv6/conf/all/accept_ra": "1",
		} {
			if got := readSysctl(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		// A choice that somebody made stays.
		if err := setSysctl("ipv6/conf/default/accept_ra", "0"); err != nil {
			return err
		}
		if err := errors.Join(setSysctl("ipv6/conf/all/forwarding", "0"), forward(false, true)); err != nil {
			return err
		}
		if got := readSysctl("ipv6/conf/default/accept_ra"); got != "0" {
			t.Errorf("accept_ra was 0 and is %q", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// When a later step fails, what the earlier ones made is taken back.
func TestUndo(t *testing.T) {
	needsKernel(t)
	o := options(t, "shop", newPod(t))
	broken := errors.New("broken")
	calls := 0
	o.Do = func(ns *os.File, f func() error) error { calls++; return broken }
	if _, err := Attach(t.Context(), o); !errors.Is(err, broken) || calls != 1 {
		t.Errorf("no way in: %v", err)
	}
	o.Do = namespaces.Do
	o.Netns, _ = os.Open("/dev/null")
	defer o.Netns.Close()
	if _, err := Attach(t.Context(), o); err == nil {
		t.Error("a namespace that is none")
	}
	// An interface of the name is in the namespace already.
	o.Netns = newPod(t)
	first := attach(t, o)
	second := optionsIn(o.StateDir, "second", o.Netns)
	if _, err := Attach(t.Context(), second); !errors.Is(err, unix.EEXIST) || errors.Is(err, ErrExhausted) {
		t.Errorf("twice into one namespace: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Attach(ctx, optionsIn(o.StateDir, "third", newPod(t))); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
	if got := left(t, o.StateDir); len(got) != 2 {
		t.Errorf("left over: %v", got)
	}
	if got := hostLinks(t); len(got) != 3 || !slices.Contains(got, first.HostLink) {
		t.Errorf("links %v", got)
	}
}

// A kernel without netfilter has no bridge for pods: nothing of it stays, and
// the error says which modules are missing.
func TestNoNetfilter(t *testing.T) {
	needsKernel(t)
	o := options(t, "shop", newPod(t))
	testkit.WithoutNetfilter(t, func() {
		_, err := Attach(t.Context(), o)
		if !errors.Is(err, ErrUnsupported) || !errors.Is(err, unix.EPROTONOSUPPORT) || !strings.Contains(err.Error(), "nfnetlink") {
			t.Errorf("got %v", err)
		}
		o.Network.Mode = Auto
		a, err := Attach(t.Context(), o)
		if err != nil || a.Network.Mode != None || !errors.Is(a.Lacking, ErrUnsupported) {
			t.Errorf("auto: %+v, %v", a, err)
		}
	})
	if got := append(left(t, o.StateDir), hostLinks(t)...); !slices.Equal(got, []string{"lo"}) {
		t.Errorf("left over: %v", got)
	}
	if a := attach(t, o); a.Network.Mode != Bridge || len(a.Addresses) == 0 {
		t.Errorf("auto with netfilter: %+v", a)
	}
}

// Without IPv6 in a pod it gets IPv4.
func TestNoIPv6(t *testing.T) {
	needsKernel(t)
	set, err := namespaces.Options{Loopback: true, Sysctls: map[string]string{"net.ipv6.conf.default.disable_ipv6": "1"}}.New(namespaces.Network)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	a := attach(t, options(t, "shop", set.File(namespaces.Network)))
	if len(a.Addresses) != 1 || len(a.Gateways) != 1 || !a.Addresses[0].Addr().Is4() {
		t.Errorf("attached as %+v", a)
	}
}

func TestNothingToDo(t *testing.T) {
	for _, mode := range []Mode{None, Host} {
		a, err := Attach(t.Context(), Options{Network: Spec{Mode: mode}})
		if err != nil || a.Interface != "" {
			t.Errorf("%s: %+v, %v", mode, a, err)
		}
		if err := a.Detach(t.Context()); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
	}
}

func TestOptionsRefused(t *testing.T) {
	good := optionsIn("/nonexistent", "shop", os.Stdin)
	for what, change := range map[string]func(*Options){
		"name":      func(o *Options) { o.Pod = "../x" },
		"namespace": func(o *Options) { o.Netns = nil },
		"directory": func(o *Options) { o.StateDir = "" },
		"way":       func(o *Options) { o.Do = nil },
		"bridge":    func(o *Options) { o.Network.Name = "a/b" },
		"mode":      func(o *Options) { o.Network.Subnets = []netip.Prefix{{}} },
	} {
		o := good
		change(&o)
		if _, err := Attach(t.Context(), o); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := Release(t.Context(), "/nonexistent", "../x"); !errors.Is(err, ErrInvalid) {
		t.Errorf("release: %v", err)
	}
	if err := Release(t.Context(), t.TempDir()+"/none", "shop"); err != nil {
		t.Errorf("release of what never was: %v", err)
	}
	if _, err := os.Stat("/nonexistent"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a refused option made the state directory")
	}
}

func BenchmarkAttach(b *testing.B) {
	needsKernel(b)
	dir := b.TempDir()
	attach(b, optionsIn(dir, "first", newPod(b)))
	pods := make([]*os.File, 0, 64)
	for range 64 {
		pods = append(pods, newPod(b))
	}
	var up, down time.Duration
	n := 0
	for b.Loop() {
		if n == len(pods) {
			break
		}
		start := time.Now()
		a, err := Attach(b.Context(), optionsIn(dir, "shop", pods[n]))
		if err != nil {
			b.Fatal(err)
		}
		up += time.Since(start)
		start = time.Now()
		if err := a.Detach(b.Context()); err != nil {
			b.Fatal(err)
		}
		down += time.Since(start)
		n++
	}
	b.ReportMetric(float64(up.Microseconds())/float64(n), "µs/attach")
	b.ReportMetric(float64(down.Microseconds())/float64(n), "µs/detach")
}

// The bridge comes and goes with its pods, whoever else begins and ends
// meanwhile.
func TestComeAndGo(t *testing.T) {
	needsKernel(t)
	dirs := []string{t.TempDir(), t.TempDir()}
	if unix.Access(filepath.Dir(filepath.Dir(bridgesLock)), unix.W_OK) != nil {
		dirs[1] = dirs[0] // others than root have no lock between them
	}
	var group sync.WaitGroup
	for i := range 4 {
		pod := newPod(t)
		group.Go(func() {
			for range 5 {
				a, err := Attach(t.Context(), optionsIn(dirs[i%2], fmt.Sprint("shop", i), pod))
				if err != nil {
					t.Error(err)
					return
				}
				if err := a.Detach(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "lock")); err == nil {
			t.Errorf("%s: its lock's file is left", dir)
		}
	}
	if links, tables := hostLinks(t), listTables(); len(links) != 1 || len(tables) > 0 {
		t.Errorf("links %v and tables %v are left", links, tables)
	}
}
