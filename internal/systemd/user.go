package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/godbus/dbus/v5"
)

// User gives the number of the user whose own manager is to be asked, user@.service,
// and false where it is the system's. Root of a user namespace is the user who made
// that, unless the namespace has a system of its own.
func User() (uid int, ok bool) {
	if uid = os.Geteuid(); uid != 0 {
		return uid, true
	}
	return mappedUser()
}

// mappedUser is User for root, who stays in his user namespace.
var mappedUser = sync.OnceValues(func() (uid int, ok bool) {
	text, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return 0, false
	}
	outer, ok := outside(strings.TrimSpace(string(text)))
	if !ok || outer == 0 {
		return 0, false
	}
	var first syscall.Stat_t
	if syscall.Stat("/proc/1", &first) == nil && first.Uid == 0 {
		return 0, false // the first process is this namespace's, not the host's
	}
	return outer, true
})

// outside reads which user of the namespace above is root here (user_namespaces(7)).
func outside(uidMap string) (uid int, ok bool) {
	for line := range strings.Lines(uidMap) {
		var inner, outer, size int
		if n, _ := fmt.Sscan(line, &inner, &outer, &size); n == 3 && inner == 0 && size > 0 {
			return outer, true
		}
	}
	return 0, false
}

// runtimeDirs are where the user's manager may have its sockets. XDG_RUNTIME_DIR is
// missing, or somebody else's, where su(1) was used.
func runtimeDirs(uid int) []string {
	list := []string{filepath.Join("/run/user", strconv.Itoa(uid))}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) && dir != list[0] {
		list = append([]string{dir}, list...)
	}
	return list
}

// UserRuns tells whether a manager of the user's own is there to be asked.
func UserRuns(uid int) bool {
	for _, dir := range runtimeDirs(uid) {
		if _, err := os.Stat(filepath.Join(dir, "systemd/private")); err == nil {
			return true
		}
	}
	return false
}

// route is a way to the user's manager.
type route struct {
	address string
	private bool // the manager's own socket, which is no bus
}

func routes(uid int) (list []route) {
	dirs := runtimeDirs(uid)
	add := func(address string, private bool) {
		for _, r := range list {
			if r.address == address {
				return
			}
		}
		list = append(list, route{address, private})
	}
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "bus")); err == nil {
			add("unix:path="+filepath.Join(dir, "bus"), false)
		}
	}
	if address := os.Getenv("DBUS_SESSION_BUS_ADDRESS"); address != "" {
		add(address, false)
	}
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "systemd/private")); err == nil {
			add("unix:path="+filepath.Join(dir, "systemd/private"), true)
		}
	}
	return list
}

// connectUser takes the first way that leads to a systemd: a session's bus may have
// none.
func connectUser(ctx context.Context, uid int) (*Conn, error) {
	var errs []string
	for _, r := range routes(uid) {
		c, err := r.connect(ctx, uid)
		if err == nil {
			return c, nil
		}
		errs = append(errs, fmt.Sprintf("by %s: %v", r.address, err))
	}
	if len(errs) == 0 {
		return nil, fmt.Errorf("connect to the systemd of user %d: %w: there is no socket of it in %s",
			uid, os.ErrNotExist, strings.Join(runtimeDirs(uid), " or "))
	}
	return nil, fmt.Errorf("connect to the systemd of user %d: %s", uid, strings.Join(errs, "; "))
}

func (r route) connect(ctx context.Context, uid int) (*Conn, error) {
	bus, err := dbus.Dial(r.address, dbus.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	// In a user namespace the other side sees who one is outside.
	if err = bus.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(uid))}); err == nil && !r.private {
		err = bus.Hello()
	}
	if err != nil {
		return nil, errors.Join(err, bus.Close())
	}
	return newConn(ctx, bus, !r.private)
}
