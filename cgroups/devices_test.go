package cgroups

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// run is the kernel's part: it executes a filter for one access to a device.
func run(t testing.TB, code []byte, kind byte, major, minor int64, want access) bool {
	t.Helper()
	number := uint32(2)
	if kind == 'b' {
		number = 1
	}
	argument := [3]uint32{number | uint32(want)<<16, uint32(major), uint32(minor)}
	var reg [11]uint64
	for at, steps := 0, 0; ; at, steps = at+8, steps+1 {
		if at < 0 || at+8 > len(code) || steps > len(code) {
			t.Fatal("the filter runs off its end")
		}
		dst, src := code[at+1]&15, code[at+1]>>4
		off := int(int16(binary.LittleEndian.Uint16(code[at+2:])))
		imm := uint64(int64(int32(binary.LittleEndian.Uint32(code[at+4:]))))
		switch code[at] {
		case 0x61:
			reg[dst] = uint64(argument[off/4])
		case 0xb7:
			reg[dst] = imm
		case 0xbf:
			reg[dst] = reg[src]
		case 0x57:
			reg[dst] &= imm
		case 0x77:
			reg[dst] >>= imm
		case 0x67:
			reg[dst] <<= imm
		case 0x4f:
			reg[dst] |= reg[src]
		case 0x16:
			if uint32(reg[dst]) == uint32(imm) {
				at += 8 * off
			}
		case 0x56:
			if uint32(reg[dst]) != uint32(imm) {
				at += 8 * off
			}
		case 0x95:
			return reg[0] == 1
		default:
			t.Fatalf("unknown instruction %#x", code[at])
		}
	}
}

// allowed is what the rules mean: for every letter the last rule decides.
func (d *deviceRules) allowed(kind byte, major, minor int64, want access) bool {
	for _, letter := range []access{mayRead, mayWrite, mayMknod} {
		if want&letter == 0 {
			continue
		}
		verdict := d.allow
		for _, r := range d.list {
			if r.access&letter != 0 && r.covers(deviceRule{kind: kind, major: major, minor: minor}) {
				verdict = r.allow
			}
		}
		if !verdict {
			return false
		}
	}
	return true
}

func TestDefaultDevices(t *testing.T) {
	d, err := parseDevices([]specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}})
	if err != nil {
		t.Fatal(err)
	}
	code := encode(d.filter())
	for _, test := range []struct {
		kind         byte
		major, minor int64
		want         access
		ok           bool
	}{
		{'c', 1, 3, mayAll, true},
		{'c', 1, 9, mayRead, true},
		{'c', 136, 77, mayRead | mayWrite, true},
		{'c', 5, 1, mayRead, false}, // the machine's console
		{'c', 1, 1, mayRead, false}, // the machine's memory
		{'c', 1, 1, mayMknod, true},
		{'b', 8, 0, mayMknod, true},
		{'b', 8, 0, mayRead, false},
		{'b', 1, 3, mayRead, false},
		{'c', 4095, 1<<20 - 1, mayMknod, true},
		{'c', 4095, 1<<20 - 1, mayRead, false},
	} {
		if got := run(t, code, test.kind, test.major, test.minor, test.want); got != test.ok {
			t.Errorf("%c %d:%d %v: %v", test.kind, test.major, test.minor, test.want, got)
		}
	}
}

func TestDeviceRules(t *testing.T) {
	for _, list := range [][]specs.LinuxDeviceCgroup{nil, {{Allow: true, Access: "rwm"}}, {{Access: "rwm"}, {Allow: true, Type: "a", Major: p[int64](-1), Access: "mwr"}}} {
		if d, err := parseDevices(list); d != nil || err != nil {
			t.Errorf("%v forbids nothing, and gives %v, %v", list, d, err)
		}
	}
	for _, test := range []struct {
		rule specs.LinuxDeviceCgroup
		text string
	}{
		{specs.LinuxDeviceCgroup{}, "access is empty"},
		{specs.LinuxDeviceCgroup{Access: "x"}, "letters other than"},
		{specs.LinuxDeviceCgroup{Access: "r", Type: "p"}, "none of a, b and c"},
		{specs.LinuxDeviceCgroup{Access: "r", Major: p[int64](4096)}, "not within 0 to 4095"},
		{specs.LinuxDeviceCgroup{Access: "r", Major: p[int64](1 << 40)}, "not within 0"},
		{specs.LinuxDeviceCgroup{Access: "r", Minor: p[int64](-2)}, "not within 0"},
	} {
		if _, err := parseDevices([]specs.LinuxDeviceCgroup{test.rule}); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%+v: %v", test.rule, err)
		}
	}
}

// TestGreatNumbers: device numbers whose comparison has the sign bit set.
func TestGreatNumbers(t *testing.T) {
	d := &deviceRules{list: []deviceRule{{'c', 4095, 1<<20 - 1, mayAll, true}, {'b', 4095, anyNumber, mayAll, true}, {'b', anyNumber, 1<<20 - 1, mayRead, true}}}
	code := encode(d.filter())
	for _, kind := range []byte("bc") {
		for _, major := range []int64{0, 2047, 2048, 4095} {
			for _, minor := range []int64{0, 1 << 19, 1<<20 - 1} {
				if got := run(t, code, kind, major, minor, mayRead); got != d.allowed(kind, major, minor, mayRead) {
					t.Errorf("%c %d:%d gives %v", kind, major, minor, got)
				}
			}
		}
	}
}

func TestTooManyDevices(t *testing.T) {
	list := make([]specs.LinuxDeviceCgroup, maxDevices+1)
	for i := range list {
		list[i] = specs.LinuxDeviceCgroup{Type: "c", Major: p[int64](1), Minor: p(int64(i)), Access: "r"}
	}
	if _, err := parseDevices(list); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	d, err := parseDevices(list[:maxDevices])
	if err != nil {
		t.Fatal(err)
	}
	if code := d.filter(); len(code) > 1<<15 {
		t.Errorf("%d instructions are more than a jump can pass", len(code))
	}
}

func TestExceptions(t *testing.T) {
	rule := func(allow bool, kind string, major, minor int64, access string) specs.LinuxDeviceCgroup {
		return specs.LinuxDeviceCgroup{Allow: allow, Type: kind, Major: &major, Minor: &minor, Access: access}
	}
	everything := specs.LinuxDeviceCgroup{Allow: true, Access: "rwm"}
	for _, test := range []struct {
		list []specs.LinuxDeviceCgroup
		want string // without the default devices
	}{
		{[]specs.LinuxDeviceCgroup{rule(true, "c", 9, 9, "rwm"), rule(false, "c", 9, 9, "w")}, "c 9:9 rm"},
		{[]specs.LinuxDeviceCgroup{rule(true, "c", 9, 9, "rwm"), rule(false, "c", 9, -1, "rwm")}, ""},
		{[]specs.LinuxDeviceCgroup{rule(true, "", 9, -1, "r")}, "b 9:* r,c 9:* r"},
		{[]specs.LinuxDeviceCgroup{rule(true, "c", 9, -1, "r"), rule(false, "c", 9, 9, "w")}, "c 9:* r"},
		{[]specs.LinuxDeviceCgroup{everything, rule(false, "b", 8, 0, "w")}, "b 8:0 w"},
		{[]specs.LinuxDeviceCgroup{rule(true, "c", 9, -1, "r"), rule(false, "c", 9, 9, "r")}, "error"},
	} {
		d, err := parseDevices(test.list)
		if err != nil {
			t.Fatal(err)
		}
		d.list = d.list[:len(d.list)-len(defaultDevices)]
		list, err := d.exceptions()
		var text []string
		for _, r := range list {
			text = append(text, r.String())
		}
		if errors.Is(err, ErrUnsupported) {
			text = []string{"error"}
		}
		if got := strings.Join(text, ","); got != test.want {
			t.Errorf("%v: %s, %v; want %s", test.list, got, err, test.want)
		}
	}
}

// FuzzDevices compares the filter, and where there are such the exceptions of
// v1, with what the rules mean. Every four bytes are a rule; few device
// numbers make the rules meet.
func FuzzDevices(f *testing.F) {
	f.Add([]byte{0, 1, 1, 7, 1, 0, 0, 1})
	f.Add([]byte{3, 0, 0, 4, 0, 1, 0, 6, 1, 2, 2, 5})
	f.Fuzz(func(t *testing.T, text []byte) {
		d := &deviceRules{allow: len(text)%2 == 1}
		for ; len(text) >= 4; text = text[4:] {
			d.list = append(d.list, deviceRule{
				kind: "bc"[text[0]&1], allow: text[0]&2 != 0,
				major: int64(text[1]%4) - 1, minor: int64(text[2]%4) - 1,
				access: max(access(text[3]&7), 1),
			})
		}
		if len(d.list) > 100 {
			return
		}
		code := encode(d.filter())
		list, err := d.exceptions()
		for n := range 2 * 3 * 3 * 7 {
			kind, major, minor, want := "bc"[n%2], int64(n/2%3), int64(n/6%3), access(n/18+1)
			ok := d.allowed(kind, major, minor, want)
			if got := run(t, code, kind, major, minor, want); got != ok {
				t.Errorf("filter of %v: %c %d:%d %v gives %v", d, kind, major, minor, want, got)
			}
			reduced := deviceRules{allow: d.allow, list: list}
			if err == nil && reduced.allowed(kind, major, minor, want) != ok {
				t.Errorf("exceptions of %v: %v: %c %d:%d %v gives %v", d, list, kind, major, minor, want, !ok)
			}
		}
	})
}
