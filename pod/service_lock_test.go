package pod

import (
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// The file of the services' lock goes with the last service, and the lock keeps others
// out all the same.
func TestServicesLock(t *testing.T) {
	s := &Store{Root: t.TempDir()}
	if err := makePrivate(s.servicesDir()); err != nil {
		t.Fatal(err)
	}
	var inside, worst atomic.Int64
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for k := range 100 {
				f, err := s.lockServices()
				if err != nil {
					t.Error(err)
					return
				}
				worst.Store(max(worst.Load(), inside.Add(1)))
				inside.Add(-1)
				if (i+k)%2 == 0 {
					s.unlockServices(f)
				} else {
					f.Close()
					s.dropServicesLock()
				}
			}
		})
	}
	group.Wait()
	if n := worst.Load(); n != 1 {
		t.Errorf("%d held the lock at a time", n)
	}
	if _, err := os.Stat(s.servicesLock()); err == nil {
		t.Error("the lock's file is left without a service")
	}
	if err := os.Mkdir(filepath.Join(s.servicesDir(), "web"), 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := s.lockServices()
	if err != nil {
		t.Fatal(err)
	}
	s.dropServicesLock() // somebody has it
	s.unlockServices(f)
	s.dropServicesLock() // there is a service
	if _, err := os.Stat(s.servicesLock()); err != nil {
		t.Error(err)
	}
}
