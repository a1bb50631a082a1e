package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// process is the proxy.
type process struct {
	cmd           *exec.Cmd
	addr, metrics string
	failures      *failures
}

// usage is what a process has, proc(5).
type usage struct {
	descriptors, threads int
	anonymous            int // bytes of memory that is of no file
	cpu                  time.Duration
}

func startProxy(peapod string, backends []string, into *failures) (*process, error) {
	args := []string{"--debug", "proxy", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--grace-period", "10s", "--balance", "round-robin"}
	for _, b := range backends {
		args = append(args, "--backend", b)
	}
	p := &process{cmd: exec.Command(peapod, args...), failures: into}
	p.cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	said, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(said)
	for p.metrics == "" && lines.Scan() {
		if _, addr, ok := strings.Cut(lines.Text(), " listens at "); ok {
			p.addr = addr
		}
		if _, addr, ok := strings.Cut(lines.Text(), "metrics are at http://"); ok {
			p.metrics = strings.TrimSuffix(addr, "/metrics")
		}
	}
	if p.metrics == "" {
		p.stop()
		return nil, fmt.Errorf("%s proxy does not start", peapod)
	}
	go func() {
		for lines.Scan() {
			if !p.failures.add(lines.Text()) {
				fmt.Fprintln(os.Stderr, lines.Text())
			}
		}
	}()
	return p, nil
}

func (p *process) stop() {
	p.cmd.Process.Signal(unix.SIGTERM)
	p.cmd.Wait()
}

// status is what the proxy says of itself.
type status struct {
	Services []struct {
		Connections struct{ Accepted, Active, Failed int }
		Bytes       struct{ In, Out int }
		Backends    []struct{ Active, Failed int }
	}
}

func (p *process) status() (s status, err error) {
	c, err := net.DialTimeout("tcp", p.metrics, patience)
	if err != nil {
		return s, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	io.WriteString(c, "GET /status HTTP/1.0\r\n\r\n")
	all, err := io.ReadAll(c)
	if err != nil {
		return s, err
	}
	_, body, _ := strings.Cut(string(all), "\r\n\r\n")
	if err := json.Unmarshal([]byte(body), &s); err != nil || len(s.Services) != 1 {
		return s, fmt.Errorf("status: %w: %s", err, body)
	}
	return s, nil
}

// until waits until the proxy's number of connections to backends is right.
func (p *process) until(what string, ok func(active int) bool) error {
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		s, err := p.status()
		if err != nil {
			return err
		}
		active := 0
		for _, b := range s.Services[0].Backends {
			active += b.Active
		}
		if ok(active) {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("the proxy has %d connections, want %s", active, what)
		}
	}
}

// awaits waits until n connections are open.
func (p *process) awaits(n int) error {
	return p.until(strconv.Itoa(n), func(active int) bool { return active == n })
}

// rest waits until there is no connection, and looks at what the process has.
func (p *process) rest(u *usage) error {
	if err := p.awaits(0); err != nil {
		return err
	}
	dir := fmt.Sprintf("/proc/%d/", p.cmd.Process.Pid)
	fds, err := os.ReadDir(dir + "fd")
	if err != nil {
		return err
	}
	text, err := os.ReadFile(dir + "status")
	if err != nil {
		return err
	}
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return err
	}
	number := func(field string) int {
		_, rest, _ := strings.Cut(string(text), "\n"+field+":")
		n, _ := strconv.Atoi(strings.Fields(rest + " x")[0])
		return n
	}
	*u = usage{descriptors: len(fds), threads: number("Threads"), anonymous: number("RssAnon") << 10}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	for _, f := range fields[11:13] { // utime and stime, in hundredths of a second
		n, _ := strconv.Atoi(f)
		u.cpu += time.Duration(n) * 10 * time.Millisecond
	}
	return nil
}
