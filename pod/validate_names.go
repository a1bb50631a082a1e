package pod

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/peapod/peapod/internal/nearest"
)

const (
	labelRule = "use at most 63 lower-case letters, digits and '-', with a letter or digit at both ends"
	wordRule  = "use at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends"

	portNameRule = "at most 15 lower-case letters, digits and single '-', with a letter, not at its ends a '-'"
)

// CheckName reports why a pod cannot have that name; nil when it can. It is for
// names that do not come from a spec; Validate checks those.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("missing; %s", labelRule)
	case !isLabel(name):
		return fmt.Errorf("%q is not a DNS label: %s", name, labelRule)
	}
	return nil
}

func (ps *problems) label(at, name string) {
	if err := CheckName(name); err != nil {
		ps.addf(at, "%w", err)
	}
}

// qualified checks the key of a label or annotation: name or prefix/name.
func (ps *problems) qualified(at, key string) {
	prefix, name, ok := strings.Cut(key, "/")
	if !ok {
		prefix, name = "x", key
	}
	for part := range strings.SplitSeq(prefix, ".") {
		if !isLabel(part) || len(prefix) > 253 {
			ps.addf(at, "the prefix %q is not a DNS name", prefix)
			return
		}
	}
	if !isWord(name) {
		ps.addf(at, "%q cannot be a key: %s, if need be after a DNS name and '/'", key, wordRule)
	}
}

// oneOf refuses a value that is none of the known ones.
func (ps *problems) oneOf(at, value string, known ...string) {
	hint := ""
	if near := nearest.Name(value, known); near != "" {
		hint = "; did you mean " + near + "?"
	}
	ps.addf(at, "unknown value %q; use %s%s", value, strings.Join(known, ", "), hint)
}

// id checks the number of a user or group; nil is absent.
func (ps *problems) id(at string, id *int64) {
	if id != nil && (*id < 0 || *id > math.MaxInt32) {
		ps.addf(at, "%d is out of range; use 0 to 2147483647", *id)
	}
}

// isLabel reports whether s is a label of RFC 1123, in lower case.
func isLabel(s string) bool {
	return len(s) <= 63 && isWord(s) && !strings.ContainsAny(s, "_.") && s == strings.ToLower(s)
}

// isWord reports whether s can be the value of a label, and is not empty.
func isWord(s string) bool {
	if s == "" || len(s) > 63 || !isAlphanumeric(s[0]) || !isAlphanumeric(s[len(s)-1]) {
		return false
	}
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && strings.IndexByte("-_.", s[i]) < 0 {
			return false
		}
	}
	return true
}

// isPortName reports whether s is a service name of RFC 6335, in lower case.
func isPortName(s string) bool {
	return len(s) <= 15 && isLabel(s) && !strings.Contains(s, "--") && strings.ContainsFunc(s, func(r rune) bool {
		return r >= 'a' && r <= 'z'
	})
}

// isEnvName reports whether s can name a variable in Kubernetes.
func isEnvName(s string) bool {
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && strings.IndexByte("-_.", s[i]) < 0 {
			return false
		}
	}
	return s != "" && (s[0] < '0' || s[0] > '9')
}

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
