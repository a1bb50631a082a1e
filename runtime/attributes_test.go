package runtime

import (
	"slices"
	"testing"
)

func TestParseBitList(t *testing.T) {
	for text, want := range map[string]bitList{"0": {1}, "0-3,7": {0x8f}, "1, 3": {10}, "63-64": {1 << 63, 1}} {
		if got, err := parseBitList(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %#x, %v; want %#x", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-", "3-1", "x", "1,,2", "4096", "0-99999999999", "-1"} {
		if got, err := parseBitList(text); err == nil {
			t.Errorf("%q: %#x", text, got)
		}
	}
}

// FuzzParseBitList: a list that is accepted names something, and no more than
// there may be.
func FuzzParseBitList(f *testing.F) {
	f.Add("0-3,7")
	f.Add("4095")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parseBitList(text)
		if err == nil && (len(list) == 0 || len(list) > mostBits/64 || list[len(list)-1] == 0) {
			t.Errorf("%q: %#x", text, list)
		}
	})
}

func TestHomeOf(t *testing.T) {
	const passwd = "root:x:0:0:root:/root:/bin/sh\n# comment\nbad\nrel:x:3:3::home:/bin/sh\nu:x:7:7::/home/u:/bin/sh\nv:x:7:7::/home/v:\n"
	for uid, want := range map[uint32]string{0: "/root", 7: "/home/u", 3: "/", 8: "/"} {
		if got := homeOf([]byte(passwd), uid); got != want {
			t.Errorf("%d: %s, want %s", uid, got, want)
		}
	}
}
