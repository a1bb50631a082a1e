package namespaces

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// UserMaps are the maps with which an ordinary user gets the most: he is root
// inside, and the ranges that /etc/subuid and /etc/subgid grant him follow, from
// 1 on. Without both of these, or without newuidmap(1) and newgidmap(1), there is
// but the one id; why then says what is missing.
func UserMaps() (maps IDMaps, why string) {
	uid, gid := os.Geteuid(), os.Getegid()
	maps = IDMaps{
		Users:  []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}},
		Groups: []syscall.SysProcIDMap{{ContainerID: 0, HostID: gid, Size: 1}},
	}
	for _, helper := range []string{"newuidmap", "newgidmap"} {
		if _, err := exec.LookPath(helper); err != nil {
			return maps, helper + " is not installed (package uidmap, or shadow-utils)"
		}
	}
	names := ownNames(uid)
	users, groups := readSubIDs("/etc/subuid", names), readSubIDs("/etc/subgid", names)
	switch {
	case len(users) == 0:
		return maps, fmt.Sprintf("/etc/subuid has no range for %s", names[len(names)-1])
	case len(groups) == 0:
		return maps, fmt.Sprintf("/etc/subgid has no range for %s", names[len(names)-1])
	}
	maps.Users, maps.Groups = append(maps.Users, users...), append(maps.Groups, groups...)
	return maps, ""
}

// ownNames are those by which subuid(5) may call a user.
func ownNames(uid int) []string {
	names := []string{strconv.Itoa(uid)}
	if u, err := user.LookupId(names[0]); err == nil {
		names = append(names, u.Username)
	}
	return names
}

func readSubIDs(path string, names []string) []syscall.SysProcIDMap {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	return parseSubIDs(f, names)
}

// parseSubIDs reads subuid(5): name:first:count. The ranges follow one another
// inside, from 1 on. A line that makes no sense grants nothing.
func parseSubIDs(r io.Reader, names []string) (list []syscall.SysProcIDMap) {
	const most = 1<<32 - 2 // the last id is no one's, and inside it must not be reached
	next := uint64(1)
	for lines := bufio.NewScanner(r); lines.Scan() && len(list) < 300; {
		fields := strings.Split(strings.TrimSpace(lines.Text()), ":")
		if len(fields) != 3 || fields[0] != names[0] && fields[0] != names[len(names)-1] {
			continue
		}
		first, err1 := strconv.ParseUint(fields[1], 10, 32)
		count, err2 := strconv.ParseUint(fields[2], 10, 32)
		if err1 != nil || err2 != nil || count == 0 || first+count > most || next+count > most {
			continue
		}
		list = append(list, syscall.SysProcIDMap{ContainerID: int(next), HostID: int(first), Size: int(count)})
		next += count
	}
	return list
}
