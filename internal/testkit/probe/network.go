package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func connect(args []string) (string, error) {
	c, err := net.Dial("tcp", args[0])
	if err != nil {
		return "", err
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	return string(b), err
}

// reach connects again and again, until that succeeds, and tells when it did, in
// microseconds.
func reach(args []string) (string, error) {
	for range 20000 {
		if c, err := net.Dial("tcp", args[0]); err == nil {
			c.Close()
			return strconv.FormatInt(time.Now().UnixMicro(), 10), nil
		}
		time.Sleep(time.Millisecond)
	}
	return "", unix.ECONNREFUSED
}

// ask sends args[1] and tells the answer. It waits for the server.
func ask(args []string) (string, error) {
	var c net.Conn
	err := error(unix.ECONNREFUSED)
	for i := 0; i < 1000 && errors.Is(err, unix.ECONNREFUSED); i++ {
		if c, err = net.Dial("tcp", args[0]); err != nil {
			time.Sleep(5 * time.Millisecond)
		}
	}
	if err != nil {
		return "", err
	}
	defer c.Close()
	fmt.Fprint(c, args[1])
	c.(*net.TCPConn).CloseWrite()
	b, err := io.ReadAll(c)
	return string(b), err
}

// listen answers each connection with args[1].
func listen(args []string) (string, error) {
	return answer(args[0], func(net.Conn) string { return args[1] })
}

// peers tells each client its address, and those of this host their IP only.
func peers(args []string) (string, error) {
	return answer(args[0], func(c net.Conn) string {
		if a, ok := c.RemoteAddr().(*net.TCPAddr); ok && a.IP.IsLoopback() {
			return a.IP.String()
		}
		return c.RemoteAddr().String()
	})
}

func answer(addr string, say func(net.Conn) string) (string, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", err
	}
	go func() {
		for {
			if c, err := l.Accept(); err == nil {
				fmt.Fprint(c, say(c))
				c.Close()
			}
		}
	}()
	return "listening", nil
}

// serve sends back what it gets, and "bye" when that has ended.
func serve(args []string) (string, error) {
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return "", err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
				fmt.Fprint(c, "bye")
			}()
		}
	}()
	return "serving", nil
}

// web answers each HTTP request with the status that the file args[1] holds, and
// 503 while there is none.
func web(args []string) (string, error) {
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return "", err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			var b [4096]byte
			c.Read(b[:])
			status, err := os.ReadFile(args[1])
			if err != nil {
				status = []byte("503")
			}
			fmt.Fprintf(c, "HTTP/1.1 %s x\r\nContent-Length: 0\r\n\r\n", strings.TrimSpace(string(status)))
			c.Close()
		}
	}()
	return "serving", nil
}
