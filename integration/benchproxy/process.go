package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// process is a server that runs, with its children.
type process struct {
	name  string
	cmd   *exec.Cmd
	log   string // what it writes
	ended chan struct{}
}

// start starts a server. It ends with this process at the latest.
func (b *bench) start(name string, args ...string) (*process, error) {
	b.serial++
	p := &process{name: name, cmd: exec.Command(args[0], args[1:]...), ended: make(chan struct{}),
		log: filepath.Join(b.tmp, fmt.Sprintf("%d.log", b.serial))}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Dir = log, log, b.tmp
	p.cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGTERM}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	go func() {
		p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// ready waits until the server takes connections at each of the addresses.
func (p *process) ready(addrs ...string) error {
	for end := time.Now().Add(10 * time.Second); len(addrs) > 0; {
		c, err := net.DialTimeout("tcp", addrs[0], time.Second)
		if err == nil {
			c.Close()
			addrs = addrs[1:]
			continue
		}
		select {
		case <-p.ended:
			return p.failed("ended")
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(end) {
			return p.failed("does not listen on " + addrs[0])
		}
	}
	return nil
}

// said is the end of what a peer has written, in lines of its own.
func (p *peer) said() string {
	if p.process == nil {
		return ""
	}
	text, _ := os.ReadFile(p.process.log)
	text = bytes.TrimSpace(text[max(0, len(text)-1000):])
	if len(text) == 0 {
		return ""
	}
	return "\n" + string(text)
}

// failed is an error with what the server has written.
func (p *process) failed(how string) error {
	text, _ := os.ReadFile(p.log)
	return fmt.Errorf("%s %s: %s", p.name, how, bytes.TrimSpace(text))
}

// stop ends the server and its children, in order if it can.
func (p *process) stop() {
	children := p.pids()[1:]
	p.cmd.Process.Signal(unix.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(3 * time.Second):
		p.cmd.Process.Kill()
		<-p.ended
	}
	for _, pid := range children {
		p.end(pid)
	}
}

// end kills a child that has outlived its parent, if it still is the same
// program.
func (p *process) end(pid int) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	link, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	if link == p.cmd.Dir {
		unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	}
}

// pids are the server's and its children's.
func (p *process) pids() []int {
	all := []int{p.cmd.Process.Pid}
	for i := 0; i < len(all); i++ {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", all[i]))
		for _, task := range tasks {
			children, _ := os.ReadFile(task)
			for word := range strings.FieldsSeq(string(children)) {
				if pid, err := strconv.Atoi(word); err == nil {
					all = append(all, pid)
				}
			}
		}
	}
	return all
}

// clockTick is the unit of times in /proc/PID/stat: USER_HZ is 100 on all of
// Linux' architectures that Go runs on.
const clockTick = 10 * time.Millisecond

// cpu is the time that the server's processes have had of the processors, in
// user mode and in the kernel, proc_pid_stat(5).
func (p *process) cpu() (time.Duration, error) {
	ticks := 0
	for _, pid := range p.pids() {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, p.failed("has gone")
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		for _, f := range fields[11:13] {
			n, err := strconv.Atoi(f)
			if err != nil {
				return 0, err
			}
			ticks += n
		}
	}
	return time.Duration(ticks) * clockTick, nil
}

// memory is what the server's processes have of memory that is nobody else's
// and of no file, in bytes.
func (p *process) memory() (int, error) {
	sum := 0
	for _, pid := range p.pids() {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return 0, p.failed("has gone")
		}
		_, rest, ok := strings.Cut(string(status), "\nRssAnon:")
		kib, err := strconv.Atoi(strings.Fields(rest + " x")[0])
		if !ok || err != nil {
			return 0, fmt.Errorf("/proc/%d/status has no RssAnon", pid)
		}
		sum += kib << 10
	}
	return sum, nil
}

// output runs a command to its end and returns what it printed.
func output(ctx context.Context, name string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s%s", filepath.Base(name), strings.Join(args, " "), err,
			bytes.TrimSpace(stderr.Bytes()), bytes.TrimSpace(stdout.Bytes()))
	}
	return stdout.String(), nil
}

// moreDescriptors raises the bound to what root may have, for this process and
// those that it starts, and returns it. Go would give them the old one, if it
// did not see that this was asked for.
func moreDescriptors() (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	limit.Cur = limit.Max
	if wanted := uint64(1 << 16); limit.Max < wanted {
		more := unix.Rlimit{Cur: wanted, Max: wanted}
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &more) == nil {
			return int(wanted), nil
		}
	}
	return int(limit.Cur), unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
}

var errNoPort = errors.New("no free port")

// freeAddress is an address of the loopback interface that nobody listens on,
// another one each time.
func (b *bench) freeAddress() (string, error) {
	for range 1000 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		l.Close()
		// Below the ports that clients get, so that none of them takes it.
		if addr := l.Addr().String(); !b.given[addr] {
			b.given[addr] = true
			return addr, nil
		}
	}
	return "", errNoPort
}
