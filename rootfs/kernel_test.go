package rootfs

import (
	"errors"
	"io/fs"
	"testing"

	"golang.org/x/sys/unix"
)

// What a missing privilege says becomes advice.
func TestExplain(t *testing.T) {
	for _, test := range []struct {
		err  error
		is   error
		want string
	}{
		{unix.EPERM, fs.ErrPermission, "open_tree /image: operation not permitted: this needs root (CAP_SYS_ADMIN)"},
		{unix.ELOOP, unix.ELOOP, "open_tree /image: too many levels of symbolic links"},
	} {
		err := explain("open_tree /image", test.err)
		if err.Error() != test.want || !errors.Is(err, test.is) || !errors.Is(err, test.err) {
			t.Errorf("got %q, want %q", err, test.want)
		}
	}
}
