package pod

import (
	"net/netip"
	"os"
	"sync"
	"testing"
)

// claimed is a pod of a store whose lock the test has.
func claimed(t *testing.T, s *Store, name string) (place, *os.File) {
	t.Helper()
	p, lock, err := s.claim(name, groupMark{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lock.Close() })
	return p, lock
}

// Pods whose names begin at the same address get different ones; that of a pod
// which has gone is given again.
func TestPodAddresses(t *testing.T) {
	s := &Store{Root: t.TempDir(), Data: t.TempDir()}
	p, lock := claimed(t, s, "one")
	first, err := s.claimAddress(p)
	if err != nil || !podRange.Contains(first) {
		t.Fatalf("%v, %v", first, err)
	}
	if again, err := s.claimAddress(p); again != first || err != nil {
		t.Errorf("the same pod once more: %v, %v", again, err)
	}
	// Somebody has the address that the next one would have.
	other, _ := claimed(t, s, "other")
	if err := os.Rename(s.addressLink(first), s.addressLink(firstAddress(other.name))); err != nil {
		t.Fatal(err)
	}
	second, err := s.claimAddress(other)
	if err != nil || second == firstAddress(other.name) {
		t.Errorf("%v, %v", second, err)
	}
	// It was killed: the next one may have it.
	lock.Close()
	third, _ := claimed(t, s, "third")
	if err := os.Rename(s.addressLink(firstAddress(other.name)), s.addressLink(firstAddress(third.name))); err != nil {
		t.Fatal(err)
	}
	if got, err := s.claimAddress(third); got != firstAddress(third.name) || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	// What was killed before it had told its address is found by its name.
	if err := s.freeAddresses(third, nil); err != nil || s.ownsAddress(third, firstAddress(third.name)) {
		t.Errorf("it is not free: %v", err)
	}
	if err := s.freeAddresses(other, &Record{Status: PodStatus{LoopbackIP: second.String()}}); err != nil || s.ownsAddress(other, second) {
		t.Errorf("it is not free: %v", err)
	}
}

func firstAddress(name string) (first netip.Addr) {
	for ip := range candidates(podRange, name) {
		return ip
	}
	return first
}

// Many processes choose at the same time, some of them what a dead one has left.
func TestPodAddressesAtOnce(t *testing.T) {
	s := &Store{Root: t.TempDir(), Data: t.TempDir()}
	const n = 16
	var places [n]place
	for i := range n {
		places[i], _ = claimed(t, s, "p"+string(rune('a'+i)))
	}
	if err := makePrivate(s.addressesDir()); err != nil {
		t.Fatal(err)
	}
	for ip := range candidates(podRange, "pa") { // all of them want these
		os.Symlink("dead", s.addressLink(ip))
		if len(all(s)) == n {
			break
		}
	}
	var group sync.WaitGroup
	var mu sync.Mutex
	seen := map[netip.Addr]bool{}
	for i := range n {
		group.Go(func() {
			p := places[i]
			for ip := range candidates(podRange, "pa") {
				if s.addressInUse(ip) {
					continue
				}
				if s.takeAddress(p, ip) == nil {
					mu.Lock()
					defer mu.Unlock()
					if seen[ip] || !s.ownsAddress(p, ip) {
						t.Errorf("%v was given twice", ip)
					}
					seen[ip] = true
					return
				}
			}
		})
	}
	group.Wait()
	if len(seen) != n {
		t.Errorf("%d addresses for %d pods", len(seen), n)
	}
}

func all(s *Store) []os.DirEntry {
	list, _ := os.ReadDir(s.addressesDir())
	return list
}
