package runtime

import (
	"os"
	"os/exec"
	"strconv"
	"testing"
)

// A process may be gone between two looks at it: that is no error but the answer.
func TestPidNamespaceOfGone(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if link, err := pidNamespace(strconv.Itoa(cmd.Process.Pid)); link != "" || err != nil {
		t.Errorf("%q, %v", link, err)
	}
	own, _ := os.Readlink("/proc/self/ns/pid")
	if link, err := pidNamespace("self"); link != own || own == "" || err != nil {
		t.Errorf("%q, want %q; %v", link, own, err)
	}
}
