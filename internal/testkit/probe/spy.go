package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// spy looks, until it is told to end by the file args[0], at every other
// process that appears: whether it can be traced and its memory, root and
// descriptors be opened. It tells the names of those that it got in.
func spy(args []string) (string, error) {
	fmt.Println("ready")
	seen, open := map[string]bool{}, map[string]bool{}
	for {
		if _, err := os.Stat(args[0]); err == nil {
			break
		}
		dirs, _ := filepath.Glob("/proc/[0-9]*")
		for _, dir := range dirs {
			if dir == "/proc/1" || dir == "/proc/"+strconv.Itoa(os.Getpid()) {
				continue
			}
			exe, err := os.Readlink(dir + "/exe")
			if err == nil && strings.Contains(exe, "/bin/probe") {
				continue // has executed its command
			}
			seen[dir] = true
			for _, name := range []string{"/root/.", "/cwd/.", "/fd", "/fd/0", "/mem", "/maps", "/environ"} {
				f, err := os.Open(dir + name)
				if err != nil {
					continue
				}
				b := make([]byte, 1)
				_, err = f.Read(b)
				names, err2 := f.Readdirnames(1)
				f.Close()
				// It may have executed its command meanwhile.
				if exe, _ := os.Readlink(dir + "/exe"); strings.Contains(exe, "/bin/probe") || exe == "" {
					continue
				}
				if err == nil || err2 == nil && len(names) > 0 {
					open[name+" of "+exe] = true
				}
			}
			if exe != "" {
				open["exe "+exe] = true
			}
		}
	}
	b, err := json.Marshal(map[string]any{"seen": len(seen), "open": open})
	return string(b), err
}
