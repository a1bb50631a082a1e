package pod

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
)

// A pod without a network has only loopback addresses, which all pods have. So
// that others can tell it from its like, as a headless service wants, it gets one
// of podRange that nobody else has: a symbolic link in the state directory, called
// as the address, leads to the pod's name. It is there before the pod's first
// container starts, and goes with the pod.

func (s *Store) addressesDir() string { return filepath.Join(s.root(), "addresses") }

func (s *Store) addressLink(ip netip.Addr) string {
	return filepath.Join(s.addressesDir(), ip.String())
}

// claimAddress chooses an address for a pod whose lock the caller has. It depends
// on the name, so that it is mostly the same each time.
func (s *Store) claimAddress(p place) (netip.Addr, error) {
	for ip := range candidates(podRange, p.name) {
		err := os.Symlink(p.name, s.addressLink(ip))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if err = makePrivate(s.addressesDir()); err == nil {
				err = os.Symlink(p.name, s.addressLink(ip))
			}
		case errors.Is(err, fs.ErrExist) && s.ownsAddress(p, ip):
			return ip, nil // it was killed and is run again
		}
		if errors.Is(err, fs.ErrExist) {
			if s.addressInUse(ip) {
				continue
			}
			err = s.takeAddress(p, ip)
		}
		if err == nil {
			return ip, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return netip.Addr{}, fmt.Errorf("choose an address for pod %s: %w", p.name, err)
		}
	}
	return netip.Addr{}, fmt.Errorf("all addresses of %s are taken; stop other pods", podRange)
}

func (s *Store) ownsAddress(p place, ip netip.Addr) bool {
	owner, err := os.Readlink(s.addressLink(ip))
	return err == nil && owner == p.name
}

// addressInUse tells whether the pod runs that an address belongs to.
func (s *Store) addressInUse(ip netip.Addr) bool {
	name, err := os.Readlink(s.addressLink(ip))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	owner, err := s.place(name)
	if err != nil {
		return false // no name of a pod
	}
	running, err := owner.supervised()
	return err != nil || running
}

// takeAddress takes an address that a pod has left which was killed. One process
// does so at a time: the next one finds it in use. The error is fs.ErrExist then.
func (s *Store) takeAddress(p place, ip netip.Addr) error {
	lock, err := s.lockServices()
	if err != nil {
		return err
	}
	defer lock.Close()
	if s.addressInUse(ip) {
		return fs.ErrExist
	}
	if err := os.Remove(s.addressLink(ip)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Symlink(p.name, s.addressLink(ip))
}

// freeAddress gives a pod's address back. The caller has the pod's lock.
func (s *Store) freeAddress(p place, ip netip.Addr) error {
	if !ip.IsValid() || !s.ownsAddress(p, ip) {
		return nil // there is none
	}
	return os.Remove(s.addressLink(ip))
}

// freeAddresses gives back what a pod has left that was killed, maybe before its
// status said which address it has. r may be nil.
func (s *Store) freeAddresses(p place, r *Record) error {
	if r != nil {
		if ip, err := netip.ParseAddr(r.Status.LoopbackIP); err == nil {
			return s.freeAddress(p, ip)
		}
	}
	for ip := range candidates(podRange, p.name) {
		owner, err := os.Readlink(s.addressLink(ip))
		switch {
		case err != nil:
			return nil
		case owner == p.name:
			return os.Remove(s.addressLink(ip))
		}
	}
	return nil
}
