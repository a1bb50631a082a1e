// Command probe is what the tests' containers run: a static program that
// performs the operations on its command line, separated by arguments ";". Each
// prints a line; a failed one prints the name of its errno.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	for args := os.Args[1:]; len(args) > 0; {
		end := 0
		for end < len(args) && args[end] != ";" {
			end++
		}
		if end > 0 {
			perform(args[0], args[1:end])
		}
		args = args[min(end+1, len(args)):]
	}
}

func perform(name string, args []string) {
	f, ok := operations[name]
	if !ok {
		fmt.Println("unknown operation", name)
		os.Exit(99)
	}
	out, err := f(args)
	var errno unix.Errno
	switch {
	case errors.As(err, &errno):
		fmt.Println(unix.ErrnoName(errno))
	case err != nil:
		fmt.Println("error:", err)
	case out != "":
		fmt.Println(out)
	}
}

var operations map[string]func([]string) (string, error)

func init() {
	operations = map[string]func([]string) (string, error){
		"echo":     func(a []string) (string, error) { return strings.Join(a, " "), nil },
		"err":      func(a []string) (string, error) { fmt.Fprintln(os.Stderr, strings.Join(a, " ")); return "", nil },
		"part":     func(a []string) (string, error) { fmt.Print(strings.Join(a, " ")); return "", nil },
		"exit":     func(a []string) (string, error) { os.Exit(number(a[0])); return "", nil },
		"args":     func([]string) (string, error) { return fmt.Sprintf("%q", os.Args), nil },
		"env":      func(a []string) (string, error) { return a[0] + "=" + os.Getenv(a[0]), nil },
		"link":     func(a []string) (string, error) { return os.Readlink(a[0]) },
		"id":       id,
		"cwd":      func([]string) (string, error) { return os.Getwd() },
		"host":     func([]string) (string, error) { return os.Hostname() },
		"status":   status,
		"cat":      cat,
		"list":     list,
		"stat":     stat,
		"write":    func(a []string) (string, error) { return "ok", put(a[0], strings.Join(a[1:], " ")) },
		"fill":     func(a []string) (string, error) { return "ok", put(a[0], strings.Repeat("x", number(a[1]))) },
		"chown":    func(a []string) (string, error) { return "ok", os.Chown(a[0], number(a[1]), -1) },
		"count":    count,
		"flaky":    flaky,
		"flood":    flood,
		"hold":     hold,
		"stubborn": stubborn,
		"sleep":    func(a []string) (string, error) { time.Sleep(milliseconds(a[0])); return "", nil },
		"until":    until,
		"serve":    serve,
		"connect":  connect,
		"child":    child,
		"eat":      eat,
	}
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

func milliseconds(s string) time.Duration { return time.Duration(number(s)) * time.Millisecond }

func put(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text)
	return err
}

func id([]string) (string, error) {
	groups, err := os.Getgroups()
	return fmt.Sprintf("%d:%d %v", os.Geteuid(), os.Getegid(), groups), err
}

// status is a line of /proc/self/status.
func status(args []string) (string, error) {
	b, err := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		if name, value, _ := strings.Cut(line, ":"); name == args[0] {
			return strings.TrimSpace(value), nil
		}
	}
	return "", err
}

func cat(args []string) (string, error) {
	b, err := os.ReadFile(args[0])
	return strings.TrimSpace(string(b)), err
}

func list(args []string) (string, error) {
	entries, err := os.ReadDir(args[0])
	names := []string{"entries:"}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " "), err
}

// stat tells mode and owner.
func stat(args []string) (string, error) {
	var st unix.Stat_t
	err := unix.Stat(args[0], &st)
	return fmt.Sprintf("%#o %d:%d", st.Mode, st.Uid, st.Gid), err
}

// count adds to a file and tells how often that was done.
func count(args []string) (string, error) {
	if err := put(args[0], "x"); err != nil {
		return "", err
	}
	b, err := os.ReadFile(args[0])
	return "start " + strconv.Itoa(len(b)), err
}

// flaky fails until it was called args[1] times with the same file.
func flaky(args []string) (string, error) {
	out, err := count(args)
	fmt.Println(out)
	if out != "start "+args[1] {
		os.Exit(4)
	}
	return "fine", err
}

// flood writes args[0] lines of args[1] characters.
func flood(args []string) (string, error) {
	line := strings.Repeat("-", max(number(args[1])-8, 0))
	for i := range number(args[0]) {
		fmt.Printf("%07d %s\n", i, line)
	}
	return "", nil
}

// hold waits for SIGTERM.
func hold([]string) (string, error) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, unix.SIGTERM)
	fmt.Println("ready")
	<-c
	return "terminated", nil
}

func stubborn([]string) (string, error) {
	signal.Ignore(unix.SIGTERM)
	fmt.Println("ready")
	for {
		time.Sleep(time.Hour)
	}
}

// until waits for a file.
func until(args []string) (string, error) {
	for range 4000 {
		if _, err := os.Stat(args[0]); err == nil {
			return "", nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return "", unix.ETIMEDOUT
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

// connect sends args[1] and tells the answer. It waits for the server.
func connect(args []string) (string, error) {
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

// child starts a process that does not end by itself and holds the output open.
func child([]string) (string, error) {
	c := exec.Command("/proc/self/exe", "stubborn")
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	return "", c.Start()
}

// eat takes args[0] MiB of memory.
func eat(args []string) (string, error) {
	var all [][]byte
	for range number(args[0]) {
		b := make([]byte, 1<<20)
		for i := range b {
			b[i] = 1
		}
		all = append(all, b)
	}
	return fmt.Sprint("ate ", len(all)), nil
}
