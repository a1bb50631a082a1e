package systemd

import (
	"errors"
	"os"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/peapod/peapod/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Run(m)) }

func TestResultOf(t *testing.T) {
	job := dbus.ObjectPath("/org/freedesktop/systemd1/job/7")
	signal := func(name string, body ...any) *dbus.Signal { return &dbus.Signal{Name: name, Body: body} }
	for _, test := range []struct {
		s    *dbus.Signal
		want string
		ok   bool
	}{
		{signal(manager+".JobRemoved", uint32(7), job, "a.scope", "done"), "done", true},
		{signal(manager+".JobRemoved", uint32(7), job, "a.scope", "failed"), "failed", true},
		{signal(manager+".JobRemoved", uint32(8), dbus.ObjectPath("/x"), "a.scope", "done"), "", false},
		{signal(manager+".JobNew", uint32(7), job, "a.scope", "done"), "", false},
		{signal(manager+".JobRemoved", uint32(7)), "", false},
	} {
		if got, ok := resultOf(test.s, job); got != test.want || ok != test.ok {
			t.Errorf("%v: %q, %v", test.s, got, ok)
		}
	}
}

// TestNoSystemd: without it the error tells of both ways.
func TestNoSystemd(t *testing.T) {
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		t.Skip("systemd is here")
	}
	if c, err := Connect(testkit.Soon(t)); err == nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, %v", c, err)
	}
}

func TestSystemdStopNothing(t *testing.T) {
	if _, err := os.Stat("/run/systemd/system"); err != nil || os.Geteuid() != 0 {
		t.Skip("needs systemd and root")
	}
	c, err := Connect(testkit.Soon(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Stop(testkit.Soon(t), "peapod-nothing.scope"); err != nil {
		t.Error(err)
	}
	if err := c.StartScope(testkit.Soon(t), "peapod-nothing.scope", []Property{Set("Slice", "nonsense")}); err == nil {
		t.Error("started")
	}
}
