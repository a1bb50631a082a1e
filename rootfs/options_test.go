package rootfs

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseOptions(t *testing.T) {
	const ro, nosuid, noexec, nodev = unix.MOUNT_ATTR_RDONLY, unix.MOUNT_ATTR_NOSUID, unix.MOUNT_ATTR_NOEXEC, unix.MOUNT_ATTR_NODEV
	for text, want := range map[string]options{
		"":                         {},
		"defaults,async,loud":      {},
		"sync,lazytime,async,mand": {super: []string{"lazytime", "mand"}},
		"remount,nosuid":           {remount: true, set: nosuid},
		"rbind,ridmap":             {bind: true, recursive: true, idmap: true, idmapAll: true},
		"idmap,tmpcopyup":          {idmap: true, copyUp: true},
		"ratime,rnosymfollow":      {setAll: unix.MOUNT_ATTR_NOSYMFOLLOW, clearAll: unix.MOUNT_ATTR__ATIME},
		"bind":                     {bind: true},
		"rbind":                    {bind: true, recursive: true},
		"ro,nosuid":                {set: ro | nosuid},
		"ro,rw":                    {clear: ro},
		"rw,ro":                    {set: ro},
		"rro,rnosuid":              {setAll: ro | nosuid},
		"rro,rrw":                  {clearAll: ro},
		"noexec,exec,nodev,dev":    {clear: noexec | nodev},
		"noatime":                  {set: unix.MOUNT_ATTR_NOATIME, clear: unix.MOUNT_ATTR__ATIME &^ unix.MOUNT_ATTR_NOATIME},
		"private":                  {propagation: unix.MS_PRIVATE},
		"rslave":                   {propagation: unix.MS_SLAVE, propagationAll: true},
		"rshared,unbindable":       {propagation: unix.MS_UNBINDABLE},
		"size=1m,mode=755":         {data: [][2]string{{"size", "1m"}, {"mode", "755"}}},
		"newinstance,lowerdir=a=":  {data: [][2]string{{"newinstance", ""}, {"lowerdir", "a="}}},
	} {
		var list []string
		if text != "" {
			list = strings.Split(text, ",")
		}
		got := parseOptions(list)
		same := slices.Equal(got.data, want.data)
		data := got.data
		got.data, want.data = nil, nil
		// Options that share a mask clear what they do not set; which bits
		// exactly is looked at where they are applied.
		if got.bind != want.bind || got.remount != want.remount || got.idmap != want.idmap || got.idmapAll != want.idmapAll || got.copyUp != want.copyUp || got.recursive != want.recursive || got.set != want.set || got.setAll != want.setAll ||
			got.clearAll != want.clearAll || got.clear&^unix.MOUNT_ATTR__ATIME != want.clear&^unix.MOUNT_ATTR__ATIME ||
			got.propagation != want.propagation || got.propagationAll != want.propagationAll || !same || !slices.Equal(got.super, want.super) {
			t.Errorf("%s: %+v %v; want %+v", text, got, data, want)
		}
	}
}

// A bind with options has those and no others; one without keeps all.
func TestExact(t *testing.T) {
	const ro, nosuid, noexec, nodev = unix.MOUNT_ATTR_RDONLY, unix.MOUNT_ATTR_NOSUID, unix.MOUNT_ATTR_NOEXEC, unix.MOUNT_ATTR_NODEV
	for text, want := range map[string]attribute{
		"bind":      {},
		"bind,ro":   {ro, nosuid | noexec | nodev},
		"rw":        {0, ro | nosuid | noexec | nodev},
		"ro,noexec": {ro | noexec, nosuid | nodev},
		"rro":       {},
	} {
		o := parseOptions(strings.Split(text, ","))
		if got := o.exact(0); got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
}

// FuzzOptions: what is set is never cleared too, whatever the order, and no
// option is lost.
func FuzzOptions(f *testing.F) {
	for _, seed := range []string{"ro,rw,rro,noatime,strictatime", "bind,rslave,size=1", "r,rr,rrw,,=,a=b=c", "relatime,nostrictatime,rnoatime"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list := strings.Split(text, ",")
		o := parseOptions(list)
		if o.set&o.clear&^unix.MOUNT_ATTR__ATIME != 0 || o.setAll&o.clearAll&^unix.MOUNT_ATTR__ATIME != 0 {
			t.Errorf("%q: set %#x, clear %#x", text, o.set, o.clear)
		}
		// A mode of atime is set only together with the clearing of all, as
		// mount_setattr(2) wants it.
		if o.set&unix.MOUNT_ATTR__ATIME != 0 && o.clear&unix.MOUNT_ATTR__ATIME != unix.MOUNT_ATTR__ATIME {
			t.Errorf("%q: sets atime %#x but clears %#x", text, o.set, o.clear)
		}
		if len(o.data) > len(list) {
			t.Errorf("%q: %d options for the file system", text, len(o.data))
		}
		_ = attrShow{attribute{o.set, o.clear}, o.propagation}.String()
	})
}
