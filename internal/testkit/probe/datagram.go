package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

// answerDatagrams answers each datagram with args[1] and the sender's port.
func answerDatagrams(args []string) (string, error) {
	c, err := net.ListenPacket("udp", args[0])
	if err != nil {
		return "", err
	}
	go func() {
		b := make([]byte, 64<<10)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			port := netip.MustParseAddrPort(from.String()).Port()
			c.WriteTo(fmt.Appendf(nil, "%s %d %s", args[1], port, b[:n]), from)
		}
	}()
	return "listening", nil
}

// datagram sends args[1] and tells the answer.
func datagram(args []string) (string, error) {
	c, err := net.Dial("udp", args[0])
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := c.Write([]byte(args[1])); err != nil {
		return "", err
	}
	c.SetReadDeadline(time.Now().Add(3 * time.Second))
	b := make([]byte, 64<<10)
	n, err := c.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return "no answer", nil
	}
	return string(b[:n]), err
}
