package proxy

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// random sends n bytes in pieces of random size, then the end, and returns their
// sum. Pieces are small or large for a while, so that directions are spliced and
// copied in turns.
func random(c *net.TCPConn, rng *rand.Rand, n int) (sum []byte, err error) {
	h := sha256.New()
	buf := make([]byte, 256<<10)
	source := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)})
	for most := 1; n > 0; {
		if rng.IntN(8) == 0 {
			most = []int{1, 100, 5000, 70_000, len(buf)}[rng.IntN(5)]
		}
		piece := buf[:min(n, 1+rng.IntN(most))]
		source.Read(piece)
		h.Write(piece)
		if _, err := c.Write(piece); err != nil {
			return nil, err
		}
		n -= len(piece)
		if most == 1 {
			n = max(n-1000, 0) // not for ever
		}
	}
	return h.Sum(nil), c.CloseWrite()
}

// absorb reads to the end, at times slowly.
func absorb(c *net.TCPConn, rng *rand.Rand) (sum []byte, n int, err error) {
	h := hash.Hash(sha256.New())
	buf := make([]byte, 256<<10)
	for {
		if rng.IntN(50) == 0 {
			time.Sleep(time.Duration(rng.IntN(3)) * time.Millisecond)
		}
		k, err := c.Read(buf[:1+rng.IntN(len(buf))])
		h.Write(buf[:k])
		n += k
		if err == io.EOF {
			return h.Sum(nil), n, nil
		}
		if err != nil {
			return nil, n, err
		}
	}
}

// duplex sends and receives at the same time.
func duplex(c *net.TCPConn, rng *rand.Rand) (sent, received []byte, err error) {
	var wg sync.WaitGroup
	n, seed := rng.IntN(3<<20), rng.Uint64()
	var sendErr error
	wg.Go(func() { sent, sendErr = random(c, rand.New(rand.NewPCG(seed, 1)), n) })
	received, _, err = absorb(c, rng)
	wg.Wait()
	if err == nil {
		err = sendErr
	}
	return sent, received, err
}

// TestRandomTraffic has many connections at once, each with a different amount
// in each direction, and compares the sums.
func TestRandomTraffic(t *testing.T) {
	const clients = 48
	type result struct {
		sent, received []byte
	}
	var mu sync.Mutex
	atServer := map[uint64]result{}
	addr := server(t, func(c *net.TCPConn) {
		small(t, c)
		var id [8]byte
		if _, err := io.ReadFull(c, id[:]); err != nil {
			t.Error(err)
			return
		}
		sent, received, err := duplex(c, rand.New(rand.NewPCG(1, binary.BigEndian.Uint64(id[:]))))
		if err != nil {
			t.Errorf("server: %v", err)
		}
		mu.Lock()
		defer mu.Unlock()
		atServer[binary.BigEndian.Uint64(id[:])] = result{sent, received}
	})
	var j journal
	p := &Proxy{Loops: 3}
	j.attach(p)
	f := forward(t, p, addr)
	atClient := make([]result, clients)
	var wg sync.WaitGroup
	for i := range clients {
		c := connect(t, f.Addr())
		c.SetDeadline(time.Now().Add(time.Minute))
		wg.Go(func() {
			defer c.Close()
			small(t, c)
			if _, err := c.Write(binary.BigEndian.AppendUint64(nil, uint64(i))); err != nil {
				t.Error(err)
				return
			}
			var err error
			if atClient[i].sent, atClient[i].received, err = duplex(c, rand.New(rand.NewPCG(2, uint64(i)))); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	for _, e := range j.ended(t, clients) {
		if e.Err != nil {
			t.Error(e.Err)
		}
	}
	testkit.Eventually(t, "the server is done", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(atServer) == clients
	})
	for i, c := range atClient {
		s := atServer[uint64(i)]
		if !bytes.Equal(c.sent, s.received) || !bytes.Equal(c.received, s.sent) {
			t.Errorf("connection %d: the bytes changed", i)
		}
	}
}

// small gives every other connection small buffers, so that its peer is stopped
// often.
func small(t *testing.T, c *net.TCPConn) {
	if c.RemoteAddr().(*net.TCPAddr).Port%2 == 0 {
		if err := c.SetReadBuffer(128 << 10); err != nil {
			t.Error(err)
		}
	}
}

// TestManyConnections makes tens of thousands, one after the other in a few
// places at once.
func TestManyConnections(t *testing.T) {
	connections := 30_016
	if testing.Short() || raceEnabled {
		connections = 3008
	}
	const places = 32
	p := &Proxy{Loops: 2}
	f := forward(t, p, server(t, func(c *net.TCPConn) {
		var b [8]byte
		if _, err := io.ReadFull(c, b[:]); err == nil {
			c.Write(b[:])
		}
	}))
	const bound = 2 * time.Minute
	end := time.Now().Add(bound)
	done := make([]int, places)
	var wg sync.WaitGroup
	for i := range places {
		wg.Go(func() {
			for n := range connections / places {
				if time.Now().After(end) {
					return
				}
				if err := once(f.Addr().String(), uint64(i)<<32|uint64(n)); err != nil {
					t.Errorf("place %d, connection %d: %v", i, n, err)
					return
				}
				done[i]++
			}
		})
	}
	wg.Wait()
	total := 0
	for _, n := range done {
		total += n
	}
	t.Logf("%d connections", total)
	if total < connections {
		t.Errorf("only %d of %d connections in %v", total, connections, bound)
	}
	p.Shutdown(t.Context())
	if s := p.Stats(); s != (Stats{Accepted: uint64(total), In: int64(total) * 8, Out: int64(total) * 8}) {
		t.Errorf("stats: %+v for %d connections", s, total)
	}
}

// once makes a connection for one question, and leaves no TIME_WAIT behind, for
// ports would run out.
func once(addr string, question uint64) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	want := binary.BigEndian.AppendUint64(nil, question)
	if _, err := c.Write(want); err != nil {
		return err
	}
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, want) {
		return fmt.Errorf("got %x, %w", got, err)
	}
	return nil
}

// TestIdleConnections holds thousands open at once: they all work, and cost
// little memory. The test's own ends are bare descriptors, so that what the heap
// grows by is the proxy's.
func TestIdleConnections(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	n := min(4000, int(limit.Cur)/4-100) // client, proxy twice, server
	listener, addr := bareListener(t, 128)
	p := &Proxy{}
	f := forward(t, p, addr)
	front := f.Addr().(*net.TCPAddr).Port
	ends := make([][2]int, 0, n)
	defer func() {
		for _, e := range ends {
			closeAll(e[:])
		}
	}()
	add := func() {
		c, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			err = unix.Connect(c, &unix.SockaddrInet4{Port: front, Addr: [4]byte{127, 0, 0, 1}})
		}
		if err != nil {
			t.Fatal(err)
		}
		s, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, [2]int{c, s})
	}
	for range 500 {
		add()
	}
	before := heap()
	for len(ends) < n {
		add()
	}
	each := (heap() - before) / int64(n-500)
	t.Logf("%d connections, %d bytes each", n, each)
	if each > 1024 {
		t.Errorf("a connection takes %d bytes", each)
	}
	b := make([]byte, 1)
	for _, e := range ends {
		for i := range 2 {
			if _, err := unix.Write(e[i], []byte("x")); err != nil {
				t.Fatal(err)
			}
			if _, err := unix.Read(e[1-i], b); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func bareListener(t testing.TB, backlog int) (fd int, addr string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, backlog); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fd, addrPort(name)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
