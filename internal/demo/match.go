package demo

// match reports whether pattern, as Redis' KEYS has it, matches all of s: *
// stands for any bytes, ? for any one, [a-c] and [^a] for one of a class, and
// a backslash takes what follows as it is. path.Match differs: there * stops
// at a slash. It goes back to the last * only, so that its time is bounded by
// the product of the lengths.
func match(pattern, s string) bool {
	p, i := 0, 0
	star, from := -1, 0 // after the last *, and what it began to match at
	for i < len(s) || p < len(pattern) {
		if p < len(pattern) && pattern[p] == '*' {
			p++
			star, from = p, i
			continue
		}
		if p < len(pattern) && i < len(s) {
			if n, ok := matchOne(pattern[p:], s[i]); ok {
				p += n
				i++
				continue
			}
		}
		if star < 0 || from >= len(s) {
			return false
		}
		from++
		p, i = star, from
	}
	return true
}

// matchOne matches c with the first element of pattern, which is not empty,
// and returns how long that element is.
func matchOne(pattern string, c byte) (int, bool) {
	switch pattern[0] {
	case '?':
		return 1, true
	case '[':
		return matchClass(pattern, c)
	case '\\':
		if len(pattern) > 1 {
			return 2, pattern[1] == c
		}
	}
	return 1, pattern[0] == c
}

// matchClass does [...]; one that is never closed ends with the pattern.
func matchClass(pattern string, c byte) (int, bool) {
	i, ok := 1, false
	not := i < len(pattern) && pattern[i] == '^'
	if not {
		i++
	}
	for i < len(pattern) && pattern[i] != ']' {
		if pattern[i] == '\\' && i+1 < len(pattern) {
			i++
		}
		lo, hi := pattern[i], pattern[i]
		if i+2 < len(pattern) && pattern[i+1] == '-' && pattern[i+2] != ']' {
			hi = pattern[i+2]
			i += 2
		}
		ok = ok || min(lo, hi) <= c && c <= max(lo, hi)
		i++
	}
	return min(i+1, len(pattern)), ok != not
}
