package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/peapod/peapod/runtime"
	"golang.org/x/sys/unix"
)

// serviceSocket is where the service manager that started this process listens,
// sd_notify(3); "" where none does. Package net takes @ for an abstract one.
func serviceSocket() string { return os.Getenv("NOTIFY_SOCKET") }

// notifier passes on to the service manager what a container's process reports.
type notifier struct {
	p     *peapod
	from  *net.UnixConn
	ready chan struct{} // closed with the first READY=1
	done  chan struct{} // closed when there is nothing more to come
	told  bool          // ready is closed
	pid   int           // to be the service's main process, or 0: this one stays it
}

// notifications listens to a container's process, where somebody asked for that.
// pid is as in notifier. nil does nothing.
func (p *peapod) notifications(c *runtime.Container, detached bool) (*notifier, error) {
	if serviceSocket() == "" {
		return nil, nil
	}
	conn, err := c.NotifySocket()
	if err != nil || conn == nil {
		return nil, err
	}
	n := &notifier{p: p, from: conn, ready: make(chan struct{}), done: make(chan struct{})}
	if detached {
		n.pid = c.Pid()
	}
	go n.relay()
	return n, nil
}

// relay passes messages on until the socket is closed, and then what is left there.
func (n *notifier) relay() {
	defer close(n.done)
	data, control := make([]byte, 64<<10), make([]byte, 4096)
	for {
		size, rights, _, _, err := n.from.ReadMsgUnix(data, control)
		if err != nil {
			break
		}
		n.pass(data[:size], control[:rights])
	}
	fd, err := n.from.SyscallConn()
	for err == nil {
		fd.Control(func(fd uintptr) {
			var size, rights int
			if size, rights, _, _, err = unix.Recvmsg(int(fd), data, control, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC); err == nil {
				n.pass(data[:size], control[:rights])
			}
		})
	}
}

// pass passes one message on.
func (n *notifier) pass(message, control []byte) {
	dropFiles(control)
	state := n.translate(message)
	if state == "" {
		return
	}
	n.p.notifyService(state)
	if !n.told && strings.Contains("\n"+state+"\n", "\nREADY=1\n") {
		n.told = true
		close(n.ready)
	}
}

// translate is a message as it is passed on: without the pid, which is one of the
// container's, the descriptors that go with a message, and the end of what waits for
// these (BARRIER=1), which their closing tells.
func (n *notifier) translate(message []byte) string {
	var lines []string
	for line := range bytes.SplitSeq(message, []byte{'\n'}) {
		name, _, _ := bytes.Cut(line, []byte{'='})
		switch string(name) {
		case "", "MAINPID", "MAINPIDFDID", "BARRIER", "FDSTORE", "FDSTOREREMOVE", "FDNAME", "FDPOLL":
		case "READY":
			if n.pid != 0 {
				lines = append(lines, fmt.Sprintf("MAINPID=%d", n.pid))
			}
			lines = append(lines, string(line))
		default:
			lines = append(lines, string(line))
		}
	}
	return strings.Join(lines, "\n")
}

// dropFiles closes what came with a message.
func dropFiles(control []byte) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return
	}
	for i := range messages {
		files, _ := unix.ParseUnixRights(&messages[i])
		for _, fd := range files {
			unix.Close(fd)
		}
	}
}

// awaitReady waits until the process is ready, or has ended: the service manager
// sees that by itself.
func (n *notifier) awaitReady(ctx context.Context, c *runtime.Container) error {
	if n == nil {
		return nil
	}
	defer n.close()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.Wait(ctx)
	}()
	select {
	case <-n.ready:
	case <-ended:
	}
	return context.Cause(ctx)
}

// close passes on what has come, and ends.
func (n *notifier) close() {
	if n == nil {
		return
	}
	n.from.SetReadDeadline(time.Unix(1, 0)) // ends the relay
	<-n.done
	n.from.Close()
}
