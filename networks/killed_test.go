package networks

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peapod/peapod/namespaces"
)

// attachIn is the state directory for a process that attaches a pod and waits.
const attachIn = "PEAPOD_TEST_ATTACH"

// attachAndWait is what such a process does.
func attachAndWait(dir string) int {
	set, err := namespaces.New(namespaces.Network)
	if err == nil {
		_, err = Attach(context.Background(), optionsIn(dir, "shop", set.File(namespaces.Network)))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("attached")
	time.Sleep(time.Hour) // select{} would be a deadlock to Go
	return 0
}

// Wherever a process is killed, Release clears up, and so does the next pod of
// the name.
func TestKilled(t *testing.T) {
	needsKernel(t)
	for _, moment := range []string{"lock", "pods/shop", "leases/peapod0-2", "link peapod0", "link peapod0-2", "end"} {
		for _, clear := range []string{"Release", "Attach"} {
			dir := t.TempDir()
			killAt(t, dir, moment)
			if clear == "Release" {
				if err := Release(t.Context(), dir, "shop"); err != nil {
					t.Errorf("killed at %s: %v", moment, err)
				}
			} else {
				a, err := Attach(t.Context(), optionsIn(dir, "shop", newPod(t)))
				if err != nil {
					t.Errorf("killed at %s: attach: %v", moment, err)
					continue
				}
				if err := a.Detach(t.Context()); err != nil {
					t.Error(err)
				}
			}
			// The namespace died with the process; its link may take a moment.
			for deadline := time.Now().Add(soon); ; time.Sleep(time.Millisecond) {
				links := hostLinks(t)
				if len(slices.DeleteFunc(links, func(s string) bool { return s == "lo" })) == 0 {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("killed at %s, then %s: links %v", moment, clear, hostLinks(t))
				}
			}
			if got := left(t, dir); len(got) > 1 || len(got) == 1 && filepath.Base(got[0]) == "shop" {
				t.Errorf("killed at %s, then %s: left %v", moment, clear, got)
			}
			// A lease that nobody's record names is reclaimed when it is needed.
			c := hostConn(t)
			if _, err := (state{dir}).reclaim(c, DefaultBridge); err != nil {
				t.Error(err)
			}
			c.Close()
			if got := left(t, dir); len(got) > 0 {
				t.Errorf("killed at %s, then %s and reclaimed: left %v", moment, clear, got)
			}
		}
	}
}

// A bridge whose maker was killed before it had its addresses gets them.
func TestHalfMadeBridge(t *testing.T) {
	needsKernel(t)
	c := hostConn(t)
	defer c.Close()
	if err := c.Do(addBridge(DefaultBridge, 1500, netip.MustParseAddr("10.213.0.1"))); err != nil {
		t.Fatal(err)
	}
	pod := newPod(t)
	a := attach(t, options(t, "shop", pod))
	for _, g := range a.Gateways {
		if _, err := call(t, pod, serve(t, ownNetns(t), g), soon); err != nil {
			t.Errorf("to the gateway %s: %v", g, err)
		}
	}
	if len(a.Gateways) != 2 || len(listTables()) != 1 {
		t.Errorf("gateways %v, tables %v", a.Gateways, listTables())
	}
}

// killAt kills a process that attaches a pod as soon as something is there.
func killAt(t *testing.T, dir, moment string) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), attachIn+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	reached := func() bool {
		if name, ok := strings.CutPrefix(moment, "link "); ok {
			return slices.Contains(hostLinks(t), name)
		}
		_, err := os.Stat(filepath.Join(dir, moment))
		return err == nil
	}
	if moment == "end" {
		out.Read(make([]byte, 1))
	} else {
		for deadline := time.Now().Add(soon); !reached() && time.Now().Before(deadline); {
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
}
