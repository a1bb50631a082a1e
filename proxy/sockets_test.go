package proxy

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// makeSockets is what Sockets.Make does here.
func makeSockets(domain, typ, n int) (fds []int, err error) {
	for range n {
		fd, err := unix.Socket(domain, typ|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			closeAll(fds)
			return nil, err
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

func (s *Sockets) ready() (n int, filling bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.stocks {
		n += len(k.ready)
		filling = filling || k.filling
	}
	return n, filling
}

func TestSocketsByKind(t *testing.T) {
	s := &Sockets{Make: makeSockets}
	defer s.Close()
	for _, domain := range []int{unix.AF_INET, unix.AF_INET6} {
		for _, typ := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM} {
			for range 5 {
				fd, err := s.get(domain, typ)
				if err != nil {
					t.Fatal(err)
				}
				d, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
				y, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
				if d != domain || y != typ {
					t.Errorf("domain %d, type %d; want %d, %d", d, y, domain, typ)
				}
				unix.Close(fd)
			}
		}
	}
}

// TestSocketsInBatches takes many at once: each is given to one taker only, and
// there are far fewer calls than sockets.
func TestSocketsInBatches(t *testing.T) {
	var calls atomic.Int32
	s := &Sockets{Make: func(domain, typ, n int) ([]int, error) {
		calls.Add(1)
		return makeSockets(domain, typ, n)
	}}
	const takers, each = 8, 500
	var seen sync.Map
	var wg sync.WaitGroup
	for range takers {
		wg.Go(func() {
			for i := range each {
				fd, err := s.get(unix.AF_INET, unix.SOCK_STREAM)
				if err != nil {
					t.Error(err)
					return
				}
				if _, twice := seen.LoadOrStore(fd, true); twice {
					t.Errorf("descriptor %d was given twice", fd)
				}
				seen.Delete(fd)
				if i%3 == 0 {
					s.giveBack(unix.AF_INET, unix.SOCK_STREAM, fd)
				} else {
					unix.Close(fd)
				}
			}
		})
	}
	wg.Wait()
	if n := calls.Load(); n > takers*each/8 {
		t.Errorf("%d calls for %d sockets", n, takers*each)
	}
	testkit.Until(t, func() string {
		if n, filling := s.ready(); filling || n > maxStock {
			return fmt.Sprintf("%d are ready, filling: %t", n, filling)
		}
		return ""
	})
	s.Close()
	if n, _ := s.ready(); n != 0 {
		t.Errorf("%d are left", n)
	}
	if fd, err := s.get(unix.AF_INET, unix.SOCK_STREAM); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %d, %v", fd, err)
	}
}

// TestSocketsError is told to all who wait, and the next one tries again.
func TestSocketsError(t *testing.T) {
	block := make(chan struct{})
	var calls atomic.Int32
	s := &Sockets{Make: func(domain, typ, n int) ([]int, error) {
		switch calls.Add(1) {
		case 1:
			<-block
			return nil, unix.EMFILE
		case 2:
			return nil, nil
		}
		return makeSockets(domain, typ, n)
	}}
	defer s.Close()
	got := make(chan error, 3)
	for range 3 {
		s.await(unix.AF_INET, unix.SOCK_STREAM, func(fd int, err error) { got <- err })
	}
	close(block)
	for range 3 {
		if err := <-got; !errors.Is(err, unix.EMFILE) {
			t.Errorf("got %v", err)
		}
	}
	if _, err := s.get(unix.AF_INET, unix.SOCK_STREAM); !errors.Is(err, errNoSocket) {
		t.Errorf("no socket and no error: %v", err)
	}
	fd, err := s.get(unix.AF_INET, unix.SOCK_STREAM)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
}

// TestSocketsClosedMeanwhile closes while Make works: nobody gets what it makes.
func TestSocketsClosedMeanwhile(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})
	s := &Sockets{Make: func(domain, typ, n int) ([]int, error) {
		close(begun)
		<-end
		return makeSockets(domain, typ, n)
	}}
	go func() { <-begun; s.Close(); close(end) }()
	fd, err := s.get(unix.AF_INET, unix.SOCK_STREAM)
	if err == nil {
		unix.Close(fd) // made before it was known
	} else if !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	testkit.Until(t, func() string {
		if n, filling := s.ready(); filling || n != 0 {
			return fmt.Sprintf("%d are ready, filling: %t", n, filling)
		}
		return ""
	})
}

// TestSocketsRest has a large stock that nobody uses any more.
func TestSocketsRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Sockets{Make: makeSockets}
		defer s.Close()
		for range 2 * maxStock {
			fd, err := s.get(unix.AF_INET, unix.SOCK_STREAM)
			if err != nil {
				t.Fatal(err)
			}
			unix.Close(fd)
		}
		synctest.Wait()
		if n, _ := s.ready(); n <= minStock {
			t.Fatalf("only %d sockets are ready: there is nothing to see", n)
		}
		time.Sleep(stockRests / 2)
		if fd, ok := s.take(unix.AF_INET, unix.SOCK_STREAM); ok {
			unix.Close(fd)
		}
		synctest.Wait()
		time.Sleep(stockRests)
		if n, _ := s.ready(); n <= minStock {
			t.Errorf("%d sockets are left of a stock that is used", n)
		}
		time.Sleep(stockRests)
		if n, _ := s.ready(); n != minStock {
			t.Errorf("%d sockets are left of a stock that is not used", n)
		}
	})
}
