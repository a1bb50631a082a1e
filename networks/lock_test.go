package networks

import (
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// A lock keeps others out although who holds it removes its file now and then.
func TestLockFileRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	var inside, worst atomic.Int64
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for k := range 200 {
				unlock, err := lockFile(path)
				if err != nil {
					t.Error(err)
					return
				}
				worst.Store(max(worst.Load(), inside.Add(1)))
				inside.Add(-1)
				if (i+k)%3 == 0 {
					os.Remove(path) // which gives the lock up
				}
				unlock()
			}
		})
	}
	group.Wait()
	if n := worst.Load(); n != 1 {
		t.Errorf("%d held the lock at a time", n)
	}
}
