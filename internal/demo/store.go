package demo

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"sync"
)

// What the store holds at most; the sizes count keys and values.
const (
	maxKeys  = 10_000
	maxKey   = 1 << 10
	maxStore = 8 << 20
)

// The texts are Redis', which clients may compare.
var (
	errFull     = errors.New("OOM command not allowed when used memory > 'maxmemory'")
	errKey      = errors.New("ERR key is longer than 1024 bytes")
	errInteger  = errors.New("ERR value is not an integer or out of range")
	errOverflow = errors.New("ERR increment or decrement would overflow")
)

// store is a bounded map from keys to byte strings, safe for concurrent use.
// The zero value is empty. Values are never changed in place.
type store struct {
	mu    sync.Mutex
	items map[string][]byte
	size  int
}

// get returns the value of key, nil when there is none.
func (s *store) get(key string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.items[key]
}

// set keeps value, which the caller must not change any more.
func (s *store) set(key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.put(key, value)
}

func (s *store) put(key string, value []byte) error {
	if len(key) > maxKey {
		return errKey
	}
	old, exists := s.items[key]
	size := s.size - len(old) + len(value)
	if !exists {
		size += len(key)
	}
	if size > maxStore || !exists && len(s.items) >= maxKeys {
		return errFull
	}
	if s.items == nil {
		s.items = make(map[string][]byte)
	}
	if value == nil {
		value = []byte{} // nil means that there is none
	}
	s.items[key], s.size = value, size
	return nil
}

// incr adds one to the decimal number at key, 0 when there is none.
func (s *store) incr(key string) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var n int64
	if old, ok := s.items[key]; ok {
		var err error
		if n, err = strconv.ParseInt(string(old), 10, 64); err != nil {
			return 0, errInteger
		}
	}
	if n == math.MaxInt64 {
		return 0, errOverflow
	}
	n++
	return n, s.put(key, strconv.AppendInt(nil, n, 10))
}

// del removes key and reports whether it was there.
func (s *store) del(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.items[key]
	if ok {
		delete(s.items, key)
		s.size -= len(key) + len(old)
	}
	return ok
}

// keys returns the keys that pattern matches, sorted.
func (s *store) keys(pattern string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []string
	for key := range s.items {
		if match(pattern, key) {
			found = append(found, key)
		}
	}
	slices.Sort(found)
	return found
}
