package networks

import (
	"encoding/hex"
	"hash/fnv"

	"golang.org/x/sys/unix"
)

// crypto/rand and crypto/sha256 would bring 36 packages and 100 KiB into each
// program that has no cryptography otherwise.

// random is a number of random bytes.
func random(n int) []byte {
	b := make([]byte, n)
	for done := 0; done < n; {
		got, err := unix.Getrandom(b[done:], 0)
		if err != nil && err != unix.EINTR {
			panic("getrandom: " + err.Error()) // every kernel since 3.17 has it
		}
		done += max(got, 0)
	}
	return b
}

// randomText is a text that nobody else has.
func randomText() string { return hex.EncodeToString(random(16)) }

// digest spreads a text over 16 bytes.
func digest(text string) []byte {
	h := fnv.New128a()
	h.Write([]byte(text))
	return h.Sum(nil)
}
