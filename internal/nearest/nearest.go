// Package nearest finds the name that somebody probably meant, so that an
// error about an unknown name can offer the right one. It compares spelling
// only and needs no privileges. Names are compared byte by byte, which fits
// the field, file and capability names that it is used for.
package nearest

import "strings"

// maxLength bounds the names that are compared: a comparison costs the product
// of both lengths, and nobody mistypes a name of this size by a letter.
const maxLength = 64

// Name returns the candidate closest to name, or "" when none is close: at
// most one edit for every three letters, where an edit inserts, removes or
// replaces a letter or swaps two neighbours. Letters that differ in case alone
// count as equal unless that is the only difference that there is. Of equally
// close candidates the first one wins.
func Name(name string, candidates []string) string {
	if name == "" || len(name) > maxLength {
		return ""
	}
	best, bestDistance := "", max(1, len(name)/3)+1
	lower := strings.ToLower(name)
	for _, c := range candidates {
		if c == name || len(c) > maxLength || abs(len(c)-len(name)) >= bestDistance {
			continue
		}
		if d := distance(lower, strings.ToLower(c)); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance counts edits (optimal string alignment), keeping three rows only.
func distance(a, b string) int {
	before, previous, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(previous[j]+1, row[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, previous, row = previous, row, before
	}
	return previous[len(b)]
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}
