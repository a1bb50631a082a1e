package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"

	"github.com/peapod/peapod/internal/kernel"
	"github.com/peapod/peapod/internal/program"
	"github.com/peapod/peapod/namespaces"
	"golang.org/x/sys/unix"
)

// rootless tells that the caller is an ordinary user. All that he makes belongs
// to a user namespace of his, which a process of several threads cannot enter:
// what root's process does on the container's behalf, its program does then.
func rootless() bool { return os.Geteuid() != 0 }

// checkRootless refuses what an ordinary user cannot have, before anything is
// made.
func (c *plan) checkRootless() error {
	if !c.members.user() {
		return fmt.Errorf(`linux.namespaces: %w: an ordinary user's container needs a user namespace: `+
			`add {"type": "user"} with linux.uidMappings and gidMappings, as peapod spec --rootless does, or run it with sudo`, unix.EPERM)
	}
	if ids := c.members.ids; len(ids.Users) > 0 && len(ids.Groups) > 0 {
		switch u := c.id.User; {
		case !mapped(ids.Users, u.UID):
			return fmt.Errorf("process.user.uid %d: %w: linux.uidMappings have no such user", u.UID, unix.EINVAL)
		case !mapped(ids.Groups, u.GID):
			return fmt.Errorf("process.user.gid %d: %w: linux.gidMappings have no such group", u.GID, unix.EINVAL)
		}
	}
	if f := c.id.filter; f != nil && f.agent != nil {
		return fmt.Errorf("linux.seccomp: SCMP_ACT_NOTIFY is not supported for ordinary users yet: leave it out, or run it with sudo")
	}
	if groups := c.id.User.AdditionalGids; len(groups) > 0 && c.members.has(unix.CLONE_NEWUSER) && c.members.ids.OnlyOwn() {
		return fmt.Errorf("process.user.additionalGids %v: %w: the kernel allows none where only one's own group is mapped: "+
			"map a range of /etc/subgid, or leave them out", groups, unix.EPERM)
	}
	return nil
}

// mapped tells whether a user namespace has an id.
func mapped(list []syscall.SysProcIDMap, id uint32) bool {
	return slices.ContainsFunc(list, func(m syscall.SysProcIDMap) bool {
		return int(id) >= m.ContainerID && int(id) < m.ContainerID+m.Size
	})
}

// ownUser makes the new user namespace of an ordinary user. It is then joined:
// newuidmap(1) has to write its maps, before anybody is somebody there.
func (m *membership) ownUser(ctx context.Context) error {
	if !m.has(unix.CLONE_NEWUSER) {
		return nil
	}
	f, err := namespaces.NewUser(ctx, m.ids)
	if err != nil {
		return err
	}
	m.joinUser(f)
	return nil
}

func (m *membership) joinUser(f *os.File) {
	m.anew &^= unix.CLONE_NEWUSER
	m.join = append(m.join, joined{namespaces.User, f})
}

// ownScore sets oom_score_adj of a process that joins a user namespace, while
// the file in procfs is still its own. Nobody may lower the value without
// privilege.
func (id *identity) ownScore(p *program.Program) {
	for _, s := range id.settings() {
		fd := p.Var("file")
		p.Call(unix.SYS_OPENAT, program.Sym(^uint64(99), "AT_FDCWD"), p.Str("/proc/"+s.file), program.Sym(unix.O_WRONLY|unix.O_CLOEXEC, "O_WRONLY|O_CLOEXEC"), program.Int(0)).
			Into(fd).For("open", "/proc/"+s.file)
		p.Call(unix.SYS_WRITE, fd.Value(), p.Str(s.value), program.Int(len(s.value))).For("set", s.what)
		p.Call(unix.SYS_CLOSE, fd.Value())
	}
}

// keepsGroups are the errors with which an ordinary user keeps his own groups:
// where he maps nothing but his id, the kernel lets nobody give any up.
func (id *identity) keepsGroups() []unix.Errno {
	if (rootless() || kernel.InUserNamespace()) && len(id.User.AdditionalGids) == 0 {
		return []unix.Errno{unix.EPERM}
	}
	return nil
}

// members are the processes in the container's pid namespace, and so all of a
// container that has one of its own.
func (c *Container) members() ([]int, error) {
	if c.Pid() == 0 {
		return nil, nil
	}
	own, err := pidNamespace(strconv.Itoa(c.process.PID))
	if err != nil || own == "" { // it has ended meanwhile, and all others with it
		return nil, err
	}
	if ours, err := pidNamespace("self"); err != nil || ours == own {
		return []int{c.process.PID}, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var list []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if link, err := pidNamespace(e.Name()); err == nil && link == own {
			list = append(list, pid)
		}
	}
	return list, nil
}

// pidNamespace names that of a process, or is "" where there is no such process
// any more.
func pidNamespace(process string) (string, error) {
	link, err := os.Readlink("/proc/" + process + "/ns/pid")
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("its pid namespace: %w", err)
	}
	return link, nil
}
