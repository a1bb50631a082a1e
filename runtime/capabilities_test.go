package runtime

import (
	"bytes"
	"log/slog"
	goruntime "runtime"
	"strings"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// What a thread passes on is its bounding set; when it may gain no privileges,
// what it has itself.
func TestPassOn(t *testing.T) {
	testkit.NeedRoot(t)
	const chown, kill, raw = 1 << unix.CAP_CHOWN, 1 << unix.CAP_KILL, 1 << unix.CAP_NET_RAW
	all := capabilities{chown | kill | raw, chown | raw, chown | kill | raw, 0, 0}
	var log bytes.Buffer
	r := &Runtime{Log: slog.New(slog.NewTextHandler(&log, nil))}
	done := make(chan struct{})
	go func() {
		defer close(done)
		goruntime.LockOSThread() // and the thread ends with the goroutine
		if got := r.passOn(all, "box"); got != all || log.Len() > 0 {
			t.Errorf("%+v, %q", got, log.String())
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_NET_RAW, 0, 0, 0); err != nil {
			t.Error(err)
		}
		if got := r.passOn(all, "box"); got != all.within(chown|kill) {
			t.Errorf("without CAP_NET_RAW: %+v", got)
		}
		if lines := strings.Count(log.String(), "\n"); lines != 1 || !strings.Contains(log.String(), "capabilities=CAP_NET_RAW") {
			t.Errorf("the log is %q", log.String())
		}
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		few := [2]unix.CapUserData{{Permitted: kill | raw}}
		if err := unix.Capset(&header, &few[0]); err != nil {
			t.Error(err)
		}
		if got := available(chown | kill | raw); got != chown|kill {
			t.Errorf("without permission: %#x", got)
		}
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			t.Error(err)
		}
		if got := available(chown | kill | raw); got != kill {
			t.Errorf("under no_new_privs: %#x", got)
		}
	}()
	<-done
}
