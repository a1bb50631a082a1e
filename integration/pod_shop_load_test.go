package integration

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
)

// load are clients of a shop that order all the time and never try again what
// has failed.
type load struct {
	t      testing.TB
	buyers []*buyer
	asked  atomic.Int64
	ending chan struct{}
	ended  sync.WaitGroup
}

// load starts n clients. Every other one keeps its connection, and of these every
// other one is in a pod.
func (s *shop) load(n int) *load {
	l := &load{t: s.t, ending: make(chan struct{})}
	for i := range n {
		b := &buyer{shop: s, keep: i%2 == 0, inside: i/2%2 == 1}
		l.buyers = append(l.buyers, b)
		l.ended.Go(func() { l.follow(b) })
	}
	s.t.Cleanup(func() { l.stop() })
	return l
}

// pace is between two requests of a client, so that a small machine can follow.
const pace = 20 * time.Millisecond

func (l *load) follow(b *buyer) {
	defer b.leave()
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-l.ending:
			return
		case <-tick.C:
		}
		b.mu.Lock()
		if n%4 == 0 {
			b.order()
		} else {
			b.look()
		}
		b.mu.Unlock()
		l.asked.Add(1)
	}
}

// stop ends the load and returns the orders that the shop has accepted.
func (l *load) stop() (orders []string) {
	select {
	case <-l.ending:
	default:
		close(l.ending)
	}
	l.ended.Wait()
	for _, b := range l.buyers {
		orders = append(orders, b.orders...)
	}
	return orders
}

// sees waits until so many more requests have had an end.
func (l *load) sees(n int64) {
	l.t.Helper()
	until := l.asked.Load() + n
	testkit.Eventually(l.t, fmt.Sprintf("%d requests have ended", n), func() bool { return l.asked.Load() >= until })
}

// spread has the clients that keep their connections keep them to all of the replicas.
func (l *load) spread(replicas ...string) {
	l.t.Helper()
	for i, b := range l.buyers {
		if want := replicas[i/2%len(replicas)]; b.keep {
			testkit.Until(l.t, func() string {
				b.mu.Lock()
				defer b.mu.Unlock()
				if b.conn != nil && b.replica == want {
					return ""
				}
				b.hangUp()
				b.look()
				return fmt.Sprintf("no connection leads to %s but to %s: %v", want, b.replica, b.failed)
			})
		}
	}
}

// connections counts those that each client has made, which has one to the
// replica.
func (l *load) connections(replica string) []int {
	counts := make([]int, len(l.buyers))
	for i, b := range l.buyers {
		b.mu.Lock()
		if b.conn != nil && b.replica == replica {
			counts[i] = b.connections
		}
		b.mu.Unlock()
	}
	return counts
}

// failures takes what has failed, by client.
func (l *load) failures() [][]*failure {
	list := make([][]*failure, len(l.buyers))
	for i, b := range l.buyers {
		b.mu.Lock()
		list[i], b.failed = b.failed, nil
		b.mu.Unlock()
	}
	return list
}

// unharmed fails the test where a request has.
func (l *load) unharmed(by string) {
	l.t.Helper()
	for i, list := range l.failures() {
		for _, f := range list {
			l.t.Errorf("client %d was harmed by %s: %v", i, by, f)
		}
	}
}

// buyer is a client, by HTTP over a connection at a time.
type buyer struct {
	shop *shop
	keep bool // the connection, from one request to the next
	// inside tells that it is in a pod.
	inside bool

	mu          sync.Mutex // held during a request
	conn        net.Conn
	r           *bufio.Reader
	connections int
	replica     string    // that the connection leads to; "" before it has answered
	dialled     time.Time // before there was the connection
	orders      []string
	failed      []*failure
}

// failure is a request that has failed.
type failure struct {
	request string
	replica string // that the connection led to; "" where it had not answered yet
	dialled time.Time
	err     error
}

func (f *failure) String() string {
	return fmt.Sprintf("%s by %q: %v", f.request, f.replica, f.err)
}

// order orders tea, and tells whether the shop has accepted that.
func (b *buyer) order() bool {
	status, text, err := b.ask("POST", "/orders", `{"item": "tea", "quantity": 2}`)
	var answer struct{ ID string }
	if err == nil && status == http.StatusCreated {
		err = json.Unmarshal([]byte(text), &answer)
		b.orders = append(b.orders, answer.ID)
	}
	return b.note("POST /orders", status, http.StatusCreated, text, err)
}

// look asks for the last order, or the page where there is none.
func (b *buyer) look() bool {
	path := "/"
	if n := len(b.orders); n > 0 {
		path = "/orders/" + b.orders[n-1]
	}
	status, text, err := b.ask("GET", path, "")
	return b.note("GET "+path, status, http.StatusOK, text, err)
}

func (b *buyer) note(request string, status, want int, text string, err error) bool {
	if err == nil && status != want {
		err = fmt.Errorf("status %d, %s", status, text)
	}
	if err != nil {
		b.failed = append(b.failed, &failure{request, b.replica, b.dialled, err})
	}
	return err == nil
}

// ask makes a request, once.
func (b *buyer) ask(method, path, body string) (status int, text string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	if b.conn == nil {
		b.replica, b.dialled = "", time.Now()
		if b.conn, err = b.shop.dial(ctx, b.inside); err != nil {
			b.conn = nil
			return 0, "", err
		}
		b.r = bufio.NewReader(b.conn)
		b.connections++
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://web"+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Close = !b.keep
	status, text, keep, err := b.exchange(ctx, req)
	if err != nil || !keep {
		b.hangUp()
	}
	return status, text, err
}

func (b *buyer) exchange(ctx context.Context, req *http.Request) (status int, text string, keep bool, err error) {
	deadline, _ := ctx.Deadline()
	b.conn.SetDeadline(deadline)
	if err := req.Write(b.conn); err != nil {
		return 0, "", false, err
	}
	resp, err := http.ReadResponse(b.r, req)
	if err != nil {
		return 0, "", false, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	b.replica = resp.Header.Get("Served-By")
	return resp.StatusCode, string(data), b.keep && !resp.Close, err
}

func (b *buyer) hangUp() {
	if b.conn != nil {
		b.conn.Close()
		b.conn = nil
	}
}

// leave ends a client.
func (b *buyer) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hangUp()
}
