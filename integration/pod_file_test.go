package integration

import (
	"strings"
	"testing"
)

// A file, or a Deployment, is stopped and removed as it was started.
func TestStopOfFile(t *testing.T) {
	a := newApplied(t)
	peapod(t, "pod", "stop", "--file", a.write()).wants(1, "no such pod", a.path)
	peapod(t, "pod", "run", "-d", a.path).ok()
	all := append(a.pods(3), a.other)
	peapod(t, "pod", "rm", "--file", a.path).wants(1, "stop it first")
	peapod(t, "pod", "stop", "deploy/"+a.name).ok()
	for _, name := range a.pods(3) {
		if now := inspect(t, name).Status.Phase; now == "Running" {
			t.Errorf("%s is %s", name, now)
		}
	}
	if now := inspect(t, a.other).Status.Phase; now != "Running" {
		t.Errorf("%s is %s", a.other, now)
	}
	peapod(t, "pod", "rm", "deployment/"+a.name, "pod/"+a.pods(1)[0]).ok()
	peapod(t, "pod", "rm", "deployment/"+a.name).wants(1, "no such deployment")
	peapod(t, "pod", "rm", "-f", "deployment/"+a.name).ok()
	peapod(t, "pod", "stop", "--file", a.path).ok()
	peapod(t, "pod", "stop", "--file", a.path).wants(0, "has ended already")
	peapod(t, "pod", "rm", "--file", a.path).ok()
	peapod(t, "pod", "rm", "--file", a.path).wants(1, "no such pod")

	// By force, what runs: a file on the standard input, as it came.
	peapod(t, "pod", "run", "-d", a.path).ok()
	feed(t, strings.NewReader(read(t, a.path)), "pod", "rm", "--force", "--file", "-").ok()
	peapod(t, "pod", "rm", "-f", "--file", a.path).ok()
	for _, name := range all {
		nothingOf(t, name)
	}
}
