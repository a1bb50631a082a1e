package integration

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/testkit"
)

// saved is a container that was checkpointed.
func saved(t testing.TB, change func(*specs.Spec)) (id, bundle, images, file string) {
	t.Helper()
	id, bundle, file = counting(t, change)
	images = filepath.Join(t.TempDir(), "images")
	peapod(t, "checkpoint", "--image-path", images, id).ok()
	os.Remove(file)
	return id, bundle, images, file
}

// Hooks of the host are run at the restore, as they are before the first start;
// those that follow the deletion at the checkpoint.
func TestRestoreHooks(t *testing.T) {
	needCRIU(t)
	dir := t.TempDir()
	id, bundle, images, _ := saved(t, func(s *specs.Spec) { journal(s, dir) })
	entries := func() (kinds []string) {
		for line := range strings.Lines(read(t, filepath.Join(dir, "journal"))) {
			kind, _, _ := strings.Cut(line, " ")
			kinds = append(kinds, kind)
		}
		return kinds
	}
	if got := entries(); !slices.Equal(got[len(got)-2:], []string{"poststop1", "poststop2"}) {
		t.Errorf("after the checkpoint: %v", got)
	}
	os.Remove(filepath.Join(dir, "journal"))
	peapod(t, "restore", "--detach", "--bundle", bundle, "--image-path", images, id).ok()
	if got := entries(); !slices.Equal(got, []string{"prestart1", "prestart2", "createRuntime1", "createRuntime2"}) {
		t.Errorf("hooks that were run: %v", got)
	}
}

// What fails while processes are restored, or kills who does it, leaves nothing.
func TestRestoreFails(t *testing.T) {
	needCRIU(t)
	id, bundle, images, file := saved(t, nil)
	hook := func(script string) {
		t.Helper()
		spec := decode[specs.Spec](t, read(t, filepath.Join(bundle, "config.json")))
		spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{shell(script)}}
		writeJSON(t, filepath.Join(bundle, "config.json"), &spec)
	}
	hook("echo no network >&2; exit 3")
	before := testkit.Held()
	peapod(t, "restore", "--bundle", bundle, "--image-path", images, id).wants(1, "createRuntime hook /bin/sh", "no network")
	before.Check(t)
	peapod(t, "state", id).wants(1, "does not exist")
	testkit.Until(t, func() string { return strings.Join(testkit.Groups(id), "\n") })

	mark := filepath.Join(t.TempDir(), "mark")
	hook("touch " + mark + "; while [ -e " + mark + " ]; do sleep 0.1; done")
	p := begin(t, command(t, "restore", "--bundle", bundle, "--image-path", images, id))
	testkit.Eventually(t, "the hook runs", func() bool { _, err := os.Stat(mark); return err == nil })
	p.cmd.Process.Kill()
	p.status()
	os.Remove(mark)
	peapod(t, "delete", "--force", id).ok()
	testkit.Until(t, func() string { return strings.Join(testkit.Groups(id), "\n") })
	if _, err := os.Stat(file); err == nil {
		t.Error("it has run")
	}

	hook("true")
	peapod(t, "restore", "--detach", "--bundle", bundle, "--image-path", images, id).ok()
	counts(t, file, 3)
	peapod(t, "restore", "--detach", "--bundle", bundle, "--image-path", images, id).wants(1, "already exists")
}

// A terminal goes to whom --console-socket names, or is joined with the user's.
func TestRestoreTerminal(t *testing.T) {
	needCRIU(t)
	id, images := newName(t), t.TempDir()
	bundle := newBundle(t, withTerminal, "tick")
	for _, verb := range []string{"run", "restore"} {
		socket, receive := console(t)
		args := []string{verb, "--detach", "--bundle", bundle, "--console-socket", socket, id}
		if verb == "restore" {
			args = append(args, "--image-path", images)
		}
		peapod(t, args...).ok()
		master := receive()
		says(t, master, "0\r\n")
		peapod(t, "checkpoint", "--image-path", images, id).ok()
		master.Close()
	}
	p, master, _ := onTerminal(t, "restore", "--bundle", bundle, "--image-path", images, id)
	defer master.Close()
	says(t, master, "0\r\n")
	peapod(t, "kill", id, "KILL").ok()
	if code := p.status(); code != 137 {
		t.Errorf("status %d", code)
	}
}

// What cannot be saved is refused, and the container goes on.
func TestCheckpointRefuses(t *testing.T) {
	id := newName(t)
	peapod(t, "create", "--bundle", newBundle(t, nil, "wait"), id).ok()
	peapod(t, "checkpoint", id).wants(1, "it is created: start it first")
	peapod(t, "checkpoint", testkit.Mark+"none").wants(1, "does not exist")
	running := detached(t, nil)
	images := filepath.Join(t.TempDir(), "images")
	for _, c := range []struct{ option, value, want string }{
		{"--page-server", "host", "ADDRESS:PORT"},
		{"--parent-path", "/tmp", "relative"},
		{"--parent-path", "none", "no such file"},
		{"--empty-ns", "ipc", "give network"},
		{"--status-fd", "99", "open for writing"},
	} {
		peapod(t, "checkpoint", "--image-path", images, c.option, c.value, running).wants(1, c.option[2:5], c.want)
	}
	peapod(t, "--criu", "/nonexistent/criu", "checkpoint", "--image-path", images, running).wants(1, "criu is not installed", "apt install criu")
	peapod(t, "--criu", "/bin/false", "checkpoint", "--image-path", images, running).wants(1, "/bin/false", "ended without an answer")
	bundle := newBundle(t, nil, "wait")
	restored := newName(t)
	peapod(t, "restore", "--bundle", bundle, "--image-path", images, restored).wants(1, images+" has no images of processes")
	peapod(t, "state", restored).wants(1, "does not exist")
	if _, err := os.Stat(images); err == nil {
		t.Errorf("%s was made", images)
	}
	if s := stateOf(t, running); s.Status != "running" {
		t.Errorf("it is %s", s.Status)
	}
	needCRIU(t)
	peapod(t, "checkpoint", "--image-path", images, "--manage-cgroups-mode", "x", running).wants(1, "soft, full, strict or ignore")
}
