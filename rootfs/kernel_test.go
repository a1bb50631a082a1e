package rootfs

import (
	"errors"
	"io/fs"
	"testing"

	"golang.org/x/sys/unix"
)

// What an old kernel or a missing privilege says becomes advice.
func TestExplain(t *testing.T) {
	for _, test := range []struct {
		err  error
		is   error
		want string
	}{
		{unix.ENOSYS, ErrKernel, "open_tree /image: function not implemented: the kernel is too old: Linux 5.12 or newer is needed"},
		{unix.EPERM, fs.ErrPermission, "open_tree /image: operation not permitted: this needs root (CAP_SYS_ADMIN)"},
		{unix.ELOOP, unix.ELOOP, "open_tree /image: too many levels of symbolic links"},
	} {
		err := explain("open_tree /image", test.err)
		if err.Error() != test.want || !errors.Is(err, test.is) || !errors.Is(err, test.err) {
			t.Errorf("got %q, want %q", err, test.want)
		}
	}
}
