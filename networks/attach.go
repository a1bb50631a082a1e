package networks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/netlink"
)

// Options say what is attached to what.
type Options struct {
	Network Spec
	// Pod is the name under which the network is given back after a crash.
	Pod string
	// Netns is the network namespace that gets the network. It stays its
	// caller's.
	Netns *os.File
	// StateDir says which pod has which network. It is made where it is
	// missing, and is its owner's alone.
	StateDir string
	// Do runs a function on a thread that is in a network namespace, as
	// namespaces.Do does.
	Do func(netns *os.File, f func() error) error
	// Userns is the user namespace that Netns belongs to, where that is not the
	// caller's: an ordinary user's, who has Auto, Pasta and Slirp only.
	Userns *os.File
	// Sockets makes sockets in a network namespace, as namespaces.Sockets does,
	// for Pasta and Slirp.
	Sockets func(netns *os.File, domain, typ, n int) ([]int, error)
	// Hold starts a process in a network namespace, as namespaces.Hold does, for
	// Pasta and Slirp.
	Hold func(ctx context.Context, netns *os.File) (pid int, release func(), err error)
	// CNI is for networks of that mode.
	CNI CNIOptions
}

// Attachment is the network that a namespace got.
type Attachment struct {
	// Network is what was asked for, and for [Auto] what came of it.
	Network Spec
	// Lacking is why [Auto] came to no network, nil otherwise.
	Lacking error
	// Interface is the name of the pod's in its namespace, "" where it got
	// none.
	Interface string
	// HostLink is the other end of it on the host, if the host has one.
	HostLink string
	// Addresses of the interface, with the length of their subnets.
	Addresses []netip.Prefix
	Gateways  []netip.Addr
	MTU       int

	user   *userMode // or nil
	state  state
	pod    string
	file   *os.File // the record, locked; nil where nothing is to be undone
	record *record
}

// Attach gives a network namespace its network. When that fails nothing of it
// stays. Errors are or wrap an [*Error] and satisfy errors.Is with [ErrInvalid],
// [ErrExist], [ErrExhausted], [ErrClash], [ErrUnsupported] or the errno, where
// one of these is the reason.
//
// What a pod of the name had that died is given back first.
func Attach(ctx context.Context, o Options) (*Attachment, error) {
	switch o.Network.Mode {
	case None, Host, "":
		return &Attachment{Network: o.Network}, nil
	case Auto:
		if o.Userns != nil {
			return attachUserAuto(ctx, o), nil
		}
		return attachAuto(ctx, o)
	case Pasta, Slirp:
		return attachUserMode(ctx, &o)
	}
	if err := o.check(); err != nil {
		return nil, fail("attach", fmt.Sprintf("pod %q to network %s", o.Pod, o.Network), fmt.Errorf("%w: %w", ErrInvalid, err))
	}
	a := &Attachment{Network: o.Network, state: state{o.StateDir}, pod: o.Pod, record: &record{Mode: o.Network.Mode}}
	if o.Network.Mode == Bridge {
		a.record.Bridge = o.Network.Name
	}
	err := ctx.Err()
	if err == nil {
		err = a.claim(ctx)
	}
	if err != nil {
		return nil, a.failed(o, err)
	}
	if o.Network.Mode == CNI {
		err = a.plugins(ctx, &o)
	} else {
		err = a.bridge(&o)
	}
	if err != nil {
		return nil, a.failed(o, errors.Join(err, a.Detach(context.WithoutCancel(ctx))))
	}
	return a, nil
}

// attachAuto tries a bridge.
func attachAuto(ctx context.Context, o Options) (*Attachment, error) {
	o.Network.Mode = Bridge
	a, err := Attach(ctx, o)
	if errors.Is(err, ErrUnsupported) {
		return &Attachment{Network: Spec{Mode: None}, Lacking: err}, nil
	}
	return a, err
}

func (a *Attachment) failed(o Options, err error) error {
	return fail("attach", fmt.Sprintf("pod %s to network %s", o.Pod, o.Network), err)
}

func (o *Options) check() error {
	switch {
	case !plainName(o.Pod, maxPod):
		return errors.New("the name: want letters, digits, dots, dashes and underscores")
	case o.Netns == nil:
		return errors.New("no network namespace given")
	case o.StateDir == "":
		return errors.New("no state directory given")
	case o.Do == nil:
		return errors.New("no way into the network namespace given")
	}
	return o.Network.check()
}

// claim makes the pod's record this process's.
func (a *Attachment) claim(ctx context.Context) (err error) {
	if err := a.state.make(); err != nil {
		return err
	}
	if a.file, err = a.state.own(a.pod, os.O_CREATE); err != nil {
		return err
	}
	err = a.state.restore(ctx, a.pod)
	if err == nil {
		err = a.record.writeTo(a.file)
	}
	if err != nil {
		a.file.Close()
	}
	return err
}

// bridge connects the namespace to a bridge of the host.
func (a *Attachment) bridge(o *Options) error {
	end, err := enter(o.Netns, o.Do)
	if err != nil {
		return err
	}
	defer end.conn.Close()
	host, err := netlink.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return fail("speak to", "the host's network", err)
	}
	defer host.Close()
	b, addresses, err := a.join(host, end, o)
	if err != nil {
		return err
	}
	gateways, err := end.usable(b.gateways)
	if err == nil {
		err = end.furnish(addresses, gateways)
	}
	for _, p := range gateways {
		a.Gateways = append(a.Gateways, p.Addr())
	}
	a.Interface, a.Addresses, a.MTU = inside, addresses, b.mtu
	return err
}

// join makes the pair of links, of which one end is on the bridge.
func (a *Attachment) join(host *netlink.Conn, end *podEnd, o *Options) (b *bridge, addresses []netip.Prefix, err error) {
	unlock, err := a.state.lock()
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	release, err := lockBridges()
	if err != nil {
		return nil, nil, err
	}
	defer release()
	if b, err = ensureBridge(host, &o.Network); err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeIdle(host, b.name, noPort))
		}
	}()
	subnets, err := end.usable(b.subnets())
	if err != nil {
		return nil, nil, err
	}
	err = a.state.leaseNumber(host, b, a.pod, func(n int) error {
		addresses = allNumbered(subnets, n)
		return a.pair(host, b, o.Netns, n, addresses)
	})
	return b, addresses, err
}

// pair makes the links for a number on the bridge. The error is errTaken where
// somebody else has the number.
func (a *Attachment) pair(host *netlink.Conn, b *bridge, netns *os.File, n int, addresses []netip.Prefix) error {
	p := pair{linkName(b.name, n), randomHardware(), b.link, netns, hardware(addresses[0].Addr())}
	a.HostLink, a.record.Addresses = p.name, addresses
	a.record.Link, a.record.Hardware = p.name, p.hardware
	if err := a.record.writeTo(a.file); err != nil {
		return err
	}
	err := host.Do(p.add())
	if err != nil {
		a.record.Link = ""
	}
	if errors.Is(err, unix.EEXIST) {
		if _, missing := findLink(host, linkNamed(p.name)); missing == nil {
			return errTaken
		}
		err = fmt.Errorf("%w: the namespace has an interface %s already", err, inside)
	}
	if err == nil {
		err = host.Do(hairpin(p.name))
	}
	return fail("make", "link "+p.name, lacking(err, "pairs of links (module veth)"))
}

// Detach takes the network from the namespace again. A second call does
// nothing. It takes the kernel some 15 ms to remove a link, and as long again to
// remove the bridge with its last one.
func (a *Attachment) Detach(ctx context.Context) error {
	if a.user != nil {
		a.user.stop()
		a.user = nil
	}
	if a.file == nil {
		return nil
	}
	if err := a.state.undo(ctx, a.pod, a.record); err != nil {
		return fail("detach", "pod "+a.pod, err)
	}
	err := a.state.disown(a.file)
	a.file = nil
	return fail("detach", "pod "+a.pod, err)
}

// Release gives back the network of a pod whose owner died. A pod that has
// none is no error. The error is ErrExist when the owner lives.
func Release(ctx context.Context, stateDir, pod string) error {
	s := state{stateDir}
	err := ErrInvalid
	if plainName(pod, maxPod) {
		err = s.releaseDead(ctx, pod)
	}
	return fail("release", fmt.Sprintf("the network of pod %q", pod), err)
}

func (s state) releaseDead(ctx context.Context, pod string) error {
	f, err := s.own(pod, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := s.restore(ctx, pod); err != nil {
		f.Close()
		return err
	}
	return s.disown(f)
}

// restore undoes what a pod's record says.
//
// Preconditions: the record is owned.
func (s state) restore(ctx context.Context, pod string) error {
	data, err := os.ReadFile(s.record(pod))
	if err != nil {
		return err
	}
	r, err := parseRecord(data)
	if err != nil {
		return fmt.Errorf("%s: %w", s.record(pod), err)
	}
	return s.undo(ctx, pod, r)
}

// undo removes what a record names. It can be done again.
//
// Preconditions: the record is owned.
func (s state) undo(ctx context.Context, pod string, r *record) error {
	var errs []error
	if r.CNI != nil {
		errs = append(errs, s.disconnect(ctx, pod, r.CNI))
	}
	if r.Bridge != "" {
		errs = append(errs, s.leave(pod, r))
	}
	return errors.Join(errs...)
}

// leave removes a pod's link and its lease, which both may be another pod's by
// now, and the bridge with its last link.
func (s state) leave(pod string, r *record) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	release, err := lockBridges()
	if err != nil {
		return err
	}
	defer release()
	defer func() {
		if s.alone(pod) {
			os.Remove(bridgesLock) // the last thing; who waits for it makes another one
		}
	}()
	c, err := netlink.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return fail("leave", "bridge "+r.Bridge, err)
	}
	defer c.Close()
	mine := func(l link) bool { return l.name == r.Link && bytes.Equal(l.hardware, r.Hardware) }
	if err := removeIdle(c, r.Bridge, mine); err != nil {
		return err
	}
	if r.Link == "" {
		return nil
	}
	// Only now: as long as there is a lease nobody else wants the number.
	return errors.Join(deleteLink(c, r.Link, mine), s.removeLease(pod, r.Link))
}

// removeLease removes the lease of a link, if it is the pod's.
//
// Preconditions: the state is locked.
func (s state) removeLease(pod, link string) error {
	if owner, err := os.ReadFile(s.lease(link)); err != nil || string(owner) != pod {
		return nil
	}
	return os.Remove(s.lease(link))
}
