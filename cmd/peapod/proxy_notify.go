package main

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// notifyService tells the service manager that started this process what it
// does, sd_notify(3). Without one it does nothing.
func (p *peapod) notifyService(state string) {
	path := serviceSocket()
	if path == "" {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err == nil {
		_, err = c.Write([]byte(state))
		c.Close()
	}
	if err != nil {
		p.log.Warn("the service manager cannot be told", "socket", path, "error", err)
	}
}

// reloading is the state while a configuration is read again: systemd pairs it
// with the READY=1 that follows by the time.
func reloading() string {
	var now unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000)
}
