// Package proc names processes for good: numbers are used again, a number
// together with a start time is not. State files hold such names, and whatever
// is done to a process goes through a pidfd that was compared with one.
package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// ErrEnded tells that a process does not run any more.
var ErrEnded = errors.New("the process has ended")

// ID names a process. The zero value names none.
type ID struct {
	PID       int
	StartTime uint64 // in clock ticks since boot
}

// Find names the process that has the number now.
func Find(pid int) (ID, error) {
	s, err := read(pid)
	return ID{pid, s.startTime}, err
}

// Parse reads what String wrote.
func Parse(text []byte) (id ID, err error) {
	fields := bytes.Fields(text)
	if len(fields) != 2 {
		return ID{}, fmt.Errorf("%q is not a process and its start time", text)
	}
	if id.PID, err = strconv.Atoi(string(fields[0])); err == nil {
		id.StartTime, err = strconv.ParseUint(string(fields[1]), 10, 64)
	}
	if err == nil && id.PID <= 0 {
		err = strconv.ErrRange
	}
	if err != nil {
		return ID{}, fmt.Errorf("%q is not a process and its start time: %w", text, err)
	}
	return id, nil
}

func (id ID) String() string { return fmt.Sprintf("%d %d", id.PID, id.StartTime) }

// Alive tells whether the process still runs. A zombie does not.
func (id ID) Alive() bool {
	if id.PID == 0 {
		return false
	}
	s, err := read(id.PID)
	return err == nil && s.startTime == id.StartTime && !s.ended
}

// Open returns a pidfd that is surely of this process, or ErrEnded.
func (id ID) Open() (fd int, err error) {
	if id.PID == 0 {
		return -1, ErrEnded
	}
	fd, err = unix.PidfdOpen(id.PID, 0)
	if err == unix.ESRCH || err == unix.EINVAL {
		return -1, ErrEnded // EINVAL: the number is a thread's by now
	}
	if err != nil {
		return -1, fmt.Errorf("pidfd_open %d: %w", id.PID, err)
	}
	// Looked at after the descriptor was opened: it cannot be another's.
	if !id.Alive() {
		unix.Close(fd)
		return -1, ErrEnded
	}
	return fd, nil
}

// stat is what is of use here in /proc/PID/stat.
type stat struct {
	ended     bool
	startTime uint64
}

func read(pid int) (stat, error) {
	path := "/proc/" + strconv.Itoa(pid) + "/stat"
	text, err := os.ReadFile(path)
	if err != nil {
		return stat{}, err
	}
	s, err := parse(text)
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return s, err
}

// parse looks at the fields 3, 20 and 22 (proc_pid_stat(5)).
func parse(text []byte) (s stat, err error) {
	// The command, in brackets, may hold anything.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return s, fmt.Errorf("%d fields after the command", len(fields))
	}
	if s.startTime, err = strconv.ParseUint(string(fields[19]), 10, 64); err != nil {
		return stat{}, err
	}
	// The first thread may be a zombie while others run.
	state, threads := string(fields[0]), string(fields[17])
	s.ended = state == "X" || state == "Z" && threads == "1"
	return s, nil
}
