package pod

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/inroot"
	"golang.org/x/sys/unix"
)

// user is who a container's process runs as.
type user struct {
	specs.User
	// home from the image's /etc/passwd, "/" where that does not know the user.
	home string
}

// userOf combines, the first that says something: the container's security
// context, the pod's, the image. The group of a user that only the spec names
// is the one in the image's /etc/passwd, or 0, as containerd does it.
func (p *Pod) userOf(c *Container, im *Image, root *os.File) (u user, err error) {
	podContext, context := p.Spec.SecurityContext, c.SecurityContext
	if podContext == nil {
		podContext = &PodSecurityContext{}
	}
	if context == nil {
		context = &SecurityContext{}
	}
	u.User = im.Process.User
	u.AdditionalGids = slices.Clone(u.AdditionalGids)
	uid := orElse(context.RunAsUser, podContext.RunAsUser)
	if uid != nil {
		u.User = specs.User{UID: uint32(*uid)}
	}
	gid, home, err := lookupUser(root, u.UID)
	if err != nil {
		return user{}, err
	}
	if u.home = home; uid != nil {
		u.GID = gid
	}
	if gid := orElse(context.RunAsGroup, podContext.RunAsGroup); gid != nil {
		u.GID = uint32(*gid)
	}
	for _, gid := range podContext.SupplementalGroups {
		u.addGroup(gid)
	}
	if podContext.FSGroup != nil {
		u.addGroup(*podContext.FSGroup)
	}
	if nonRoot := orElse(context.RunAsNonRoot, podContext.RunAsNonRoot); nonRoot != nil && *nonRoot && u.UID == 0 {
		return user{}, errRunsAsRoot
	}
	return u, nil
}

var errRunsAsRoot = errors.New("runAsNonRoot is true, but the container would run as root; set runAsUser to a number above 0")

func (u *user) addGroup(gid int64) {
	if !slices.Contains(u.AdditionalGids, uint32(gid)) {
		u.AdditionalGids = append(u.AdditionalGids, uint32(gid))
	}
}

func orElse[T any](first, second *T) *T {
	if first != nil {
		return first
	}
	return second
}

// lookupUser returns the group and the home directory that the image's
// /etc/passwd has for a user: 0 and "/" where there is no such file or user.
func lookupUser(root *os.File, uid uint32) (gid uint32, home string, err error) {
	if root == nil {
		return 0, "/", nil
	}
	fd, err := inroot.Open(root, "/etc/passwd", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
			return 0, "/", nil
		}
		return 0, "", fmt.Errorf("/etc/passwd of the image: %w", err)
	}
	f := os.NewFile(uintptr(fd), "/etc/passwd")
	defer f.Close()
	// A device or an endless file in its place must not keep us busy.
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return 0, "/", err
	}
	gid, home = findUser(io.LimitReader(f, 1<<20), uid)
	return gid, home, nil
}

// findUser reads passwd(5): name:password:uid:gid:comment:home:shell.
func findUser(r io.Reader, uid uint32) (gid uint32, home string) {
	want := strconv.FormatUint(uint64(uid), 10)
	for lines := bufio.NewScanner(r); lines.Scan(); {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) < 6 || fields[2] != want {
			continue
		}
		group, err := strconv.ParseUint(fields[3], 10, 32)
		if err != nil {
			continue
		}
		if home = fields[5]; !strings.HasPrefix(home, "/") {
			home = "/"
		}
		return uint32(group), home
	}
	return 0, "/"
}
