package rootfs

import (
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/peapod/peapod/internal/program"
	"golang.org/x/sys/unix"
)

// openHow lays struct open_how out (openat2(2)).
func openHow(flags, mode uint64) []byte {
	b := binary.LittleEndian.AppendUint64(nil, flags)
	b = binary.LittleEndian.AppendUint64(b, mode)
	return binary.LittleEndian.AppendUint64(b, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
}

// openHowNoLinks is that of a path in which no symbolic link is followed.
func openHowNoLinks() []byte {
	b := binary.LittleEndian.AppendUint64(nil, unix.O_PATH|unix.O_CLOEXEC)
	b = binary.LittleEndian.AppendUint64(b, 0)
	return binary.LittleEndian.AppendUint64(b, unix.RESOLVE_NO_SYMLINKS)
}

const openHowSize = 24

// mountAttr lays struct mount_attr out (mount_setattr(2)).
func mountAttr(a attribute, propagation, userNamespace uint64) []byte {
	b := binary.LittleEndian.AppendUint64(nil, a.set)
	b = binary.LittleEndian.AppendUint64(b, a.clear)
	b = binary.LittleEndian.AppendUint64(b, propagation)
	return binary.LittleEndian.AppendUint64(b, userNamespace)
}

const mountAttrSize = 32

// flagName names a bit of a flag word.
type flagName struct {
	bit  uint64
	name string
}

var openFlags = []flagName{
	{unix.O_PATH, "O_PATH"}, {unix.O_DIRECTORY, "O_DIRECTORY"}, {unix.O_NOFOLLOW, "O_NOFOLLOW"},
	{unix.O_WRONLY, "O_WRONLY"}, {unix.O_RDWR, "O_RDWR"}, {unix.O_CREAT, "O_CREAT"}, {unix.O_EXCL, "O_EXCL"},
	{unix.O_NOCTTY, "O_NOCTTY"}, {unix.O_CLOEXEC, "O_CLOEXEC"},
}

var attrFlags = []flagName{
	{unix.MOUNT_ATTR_RDONLY, "MOUNT_ATTR_RDONLY"}, {unix.MOUNT_ATTR_NOSUID, "MOUNT_ATTR_NOSUID"},
	{unix.MOUNT_ATTR_NODEV, "MOUNT_ATTR_NODEV"}, {unix.MOUNT_ATTR_NOEXEC, "MOUNT_ATTR_NOEXEC"},
	{unix.MOUNT_ATTR_NOATIME, "MOUNT_ATTR_NOATIME"}, {unix.MOUNT_ATTR_STRICTATIME, "MOUNT_ATTR_STRICTATIME"},
	{unix.MOUNT_ATTR_NODIRATIME, "MOUNT_ATTR_NODIRATIME"}, {unix.MOUNT_ATTR_NOSYMFOLLOW, "MOUNT_ATTR_NOSYMFOLLOW"},
	{unix.MOUNT_ATTR_IDMAP, "MOUNT_ATTR_IDMAP"},
}

var treeFlags = []flagName{
	{unix.OPEN_TREE_CLONE, "OPEN_TREE_CLONE"}, {unix.OPEN_TREE_CLOEXEC, "OPEN_TREE_CLOEXEC"},
	{unix.AT_EMPTY_PATH, "AT_EMPTY_PATH"}, {unix.AT_RECURSIVE, "AT_RECURSIVE"},
}

var propagationFlags = []flagName{
	{unix.MS_PRIVATE, "MS_PRIVATE"}, {unix.MS_SLAVE, "MS_SLAVE"},
	{unix.MS_SHARED, "MS_SHARED"}, {unix.MS_UNBINDABLE, "MS_UNBINDABLE"},
}

// flagSet is a word of flags, shown by their names.
type flagSet struct {
	word  uint64
	names []flagName
}

func (f flagSet) String() string {
	var list []string
	for _, n := range f.names {
		if f.word&n.bit == n.bit {
			list = append(list, n.name)
		}
	}
	if len(list) == 0 {
		return strconv.FormatUint(f.word, 10)
	}
	return strings.Join(list, "|")
}

// flags is a word of flags that a listing shows by their names.
func flags(word uint64, names []flagName) program.Value {
	return program.Named(word, flagSet{word, names})
}

// openFlagSet shows a struct open_how.
type openFlagSet uint64

func (f openFlagSet) String() string {
	return "{" + flagSet{uint64(f), openFlags}.String() + ", RESOLVE_IN_ROOT|RESOLVE_NO_MAGICLINKS}"
}

// attrShow shows a struct mount_attr.
type attrShow struct {
	attribute
	propagation uint64
}

func (a attrShow) String() string {
	s := "{"
	if a.set != 0 {
		s += "set=" + flagSet{a.set, attrFlags}.String() + " "
	}
	if a.clear != 0 {
		s += "clear=" + flagSet{a.clear, attrFlags}.String() + " "
	}
	if a.propagation != 0 {
		s += "propagation=" + flagSet{a.propagation, propagationFlags}.String() + " "
	}
	return strings.TrimSpace(s) + "}"
}

var (
	cwd          = program.Sym(^uint64(99), "AT_FDCWD")
	emptyPath    = program.Sym(unix.AT_EMPTY_PATH, "AT_EMPTY_PATH")
	fsconfigSet  = program.Sym(unix.FSCONFIG_SET_STRING, "FSCONFIG_SET_STRING")
	fsconfigOn   = program.Sym(unix.FSCONFIG_SET_FLAG, "FSCONFIG_SET_FLAG")
	fsconfigNew  = program.Sym(unix.FSCONFIG_CMD_CREATE, "FSCONFIG_CMD_CREATE")
	onPath       = program.Sym(unix.MOVE_MOUNT_F_EMPTY_PATH, "MOVE_MOUNT_F_EMPTY_PATH")
	fsconfigSure = program.Sym(unix.FSCONFIG_CMD_RECONFIGURE, "FSCONFIG_CMD_RECONFIGURE")
	byFD         = program.Sym(unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH, "MOVE_MOUNT_F_EMPTY_PATH|MOVE_MOUNT_T_EMPTY_PATH")
)
