package networks

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/netlink"
)

// errTaken: a number is in use by one with another state directory.
var errTaken = errors.New("taken")

// leaseNumber finds a free number on the bridge for the pod and calls take with
// it, which makes the link of the number's name. Where that says errTaken the
// next one is tried.
//
// Preconditions: the state is locked.
func (s state) leaseNumber(c *netlink.Conn, b *bridge, pod string, take func(n int) error) error {
	taken, err := s.taken(b.name)
	if err != nil {
		return err
	}
	err = s.tryNumbers(b, taken, pod, take)
	if !errors.Is(err, ErrExhausted) {
		return err
	}
	freed, err2 := s.reclaim(c, b.name)
	if err2 != nil {
		return errors.Join(err, err2)
	}
	if freed == 0 {
		return err
	}
	if taken, err = s.taken(b.name); err != nil {
		return err
	}
	return s.tryNumbers(b, taken, pod, take)
}

// taken are the numbers that are leased.
func (s state) taken(bridge string) ([]bool, error) {
	list, err := s.leases()
	if err != nil {
		return nil, err
	}
	taken := make([]bool, lastNumber+1)
	for _, name := range list {
		if n, ok := linkNumber(bridge, name); ok {
			taken[n] = true
		}
	}
	return taken, nil
}

func (s state) tryNumbers(b *bridge, taken []bool, pod string, take func(n int) error) error {
	err := fmt.Errorf("%w in %v: %d pods are on the bridge", ErrExhausted, b.subnets(), countTrue(taken))
	b.numbers(s.lastLeased(b.name), func(n int) bool {
		if taken[n] {
			return true
		}
		path := s.lease(linkName(b.name, n))
		if e := os.WriteFile(path, []byte(pod), 0o600); e != nil {
			err = e
			return false
		}
		e := take(n)
		if e == nil {
			err = s.noteLeased(b.name, n)
			return false
		}
		os.Remove(path)
		if errors.Is(e, errTaken) {
			return true
		}
		err = e
		return false
	})
	return err
}

func countTrue(list []bool) (n int) {
	for _, b := range list {
		if b {
			n++
		}
	}
	return n
}

// lastLeased is the number that was leased last, or 0.
func (s state) lastLeased(bridge string) int {
	data, err := os.ReadFile(s.last(bridge))
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || n < 0 || n > lastNumber {
		return 0
	}
	return n
}

func (s state) noteLeased(bridge string, n int) error {
	return os.WriteFile(s.last(bridge), []byte(strconv.Itoa(n)+"\n"), 0o600)
}

// reclaim frees the numbers of pods that nobody runs and that have no link on
// the host any more, and tells how many.
//
// Preconditions: the state is locked.
func (s state) reclaim(c *netlink.Conn, bridge string) (freed int, err error) {
	list, err := s.leases()
	if err != nil {
		return 0, err
	}
	links, err := listNames(c)
	if err != nil {
		return 0, err
	}
	for _, name := range list {
		if _, ok := linkNumber(bridge, name); !ok || slices.Contains(links, name) || !s.orphaned(name) {
			continue
		}
		if err := os.Remove(s.lease(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return freed, err
		}
		freed++
	}
	return freed, nil
}

// listNames names all links of the host.
func listNames(c *netlink.Conn) (list []string, err error) {
	err = c.Get(netlink.New(unix.RTM_GETLINK, unix.NLM_F_DUMP, linkHeader(0, 0)), func(body []byte) {
		list = append(list, parseLink(body).name)
	})
	return list, fail("list", "the host's links", err)
}
