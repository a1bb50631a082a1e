// Command probe is what the containers of tests run: a static program that
// performs the operations on its command line, separated by arguments ";". Each
// prints a line with its result; a failed one prints the name of its errno.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/internal/testkit/report"
)

func main() {
	if base := filepath.Base(os.Args[0]); base != "probe" && base != "exe" {
		fmt.Println("called as", base)
	}
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
	case err == errSilent:
	case errors.As(err, &errno):
		fmt.Println(unix.ErrnoName(errno))
	case err != nil:
		fmt.Println("error:", err)
	default:
		fmt.Println(out)
	}
}

// errSilent is the end of an operation that has no result to print.
var errSilent = errors.New("silent")

func silent(err error) (string, error) {
	if err == nil {
		err = errSilent
	}
	return "", err
}

func done(err error) (string, error) { return "ok", err }

var operations map[string]func(args []string) (string, error)

func init() {
	operations = map[string]func([]string) (string, error){
		// What it is told.
		"echo":   func(a []string) (string, error) { return strings.Join(a, " "), nil },
		"notify": notify,
		"stderr": func(a []string) (string, error) { fmt.Fprintln(os.Stderr, strings.Join(a, " ")); return silent(nil) },
		"part":   func(a []string) (string, error) { fmt.Print(strings.Join(a, " ")); return silent(nil) },
		"flood":  flood,
		"copy":   copyInput,
		// What it is.
		"report": func([]string) (string, error) { b, err := json.Marshal(report.Self()); return string(b), err },
		"args":   func([]string) (string, error) { return fmt.Sprintf("%q", os.Args), nil },
		"env":    func(a []string) (string, error) { return a[0] + "=" + os.Getenv(a[0]), nil },
		"id":     id,
		"cwd":    func([]string) (string, error) { return os.Getwd() },
		"host":   func([]string) (string, error) { return os.Hostname() },
		"status": func(a []string) (string, error) { return report.Self().Status[a[0]], nil },
		// Files.
		"cat":    cat,
		"readfd": readfd,
		"ls":     list,
		"stat":   stat,
		"link":   func(a []string) (string, error) { return os.Readlink(a[0]) },
		"write":  func(a []string) (string, error) { return done(put(a[0], a[1:], os.O_WRONLY)) },
		"create": func(a []string) (string, error) { return done(put(a[0], a[1:], os.O_WRONLY|os.O_CREATE|os.O_TRUNC)) },
		"append": func(a []string) (string, error) { return done(put(a[0], a[1:], os.O_WRONLY|os.O_CREATE|os.O_APPEND)) },
		"unlink": func(a []string) (string, error) { return done(unix.Unlink(a[0])) },
		"fill":   fill,
		"direct": direct,
		"mkdir":  func(a []string) (string, error) { return done(os.Mkdir(a[0], 0o777)) },
		"chown":  func(a []string) (string, error) { return done(os.Chown(a[0], number(a[1]), number(a[1]))) },
		"count":  count,
		"flaky":  flaky,
		"until":  until,
		"need":   need,
		// The kernel.
		"mount":   func(a []string) (string, error) { return done(unix.Mount("x", a[0], "tmpfs", 0, "")) },
		"climb":   climb,
		"ptrace":  func(a []string) (string, error) { return done(unix.PtraceAttach(number(a[0]))) },
		"sethost": func(a []string) (string, error) { return done(unix.Sethostname([]byte(a[0]))) },
		"raise":   raise,
		"syscall": systemCall,
		"spy":     spy,
		// Life and death.
		"exec":     func(a []string) (string, error) { return "", unix.Exec(a[0], a, os.Environ()) },
		"exit":     func(a []string) (string, error) { os.Exit(number(a[0])); return "", nil },
		"die":      die,
		"wait":     wait,
		"hold":     hold,
		"stubborn": stubborn,
		"sleep":    sleep,
		"spin":     spin,
		"tick":     tick,
		"child":    child,
		"eat":      eat,
		"bomb":     bomb,
		// The network.
		"connect": connect,
		"reach":   reach,
		"ask":     ask,
		"listen":  listen,
		"peers":   peers,
		"serve":   serve,
		"web":     web,
		"lookup":  lookup,
		"health":  health,
		// Datagrams.
		"answerDatagrams": answerDatagrams,
		"datagram":        datagram,
	}
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}
