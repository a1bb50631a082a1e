package pod

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const nobody = 65534

// asNobody runs the probe on the host as an ordinary user.
func (s *stage) asNobody(operations string) string {
	s.t.Helper()
	cmd := exec.Command(filepath.Join(s.image, "bin/probe"), words(operations)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// What a container leaves in its overlay, its volumes and its memory is out of
// reach of the host's users, set-user-id programs above all. That of earlier
// versions is closed too.
func TestNobodyReachesAPod(t *testing.T) {
	s := newStage(t)
	for _, dir := range []string{"run/pods", "data/pods"} {
		if err := os.MkdirAll(s.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p := shared(s.pod(box("a", "append /secret x; append /shared/secret x; append /dev/shm/secret x; hold")))
	p.Spec.Containers[0].Env = []EnvVar{{Name: "PASSWORD", Value: "x"}}
	sup, out := s.start(p)
	out.await("a: ready", 1)
	name := p.Metadata.Name
	data, state := s.data(name), s.path("run/pods/"+name)
	for _, file := range []string{
		data + "/containers/a/0/upper/secret", data + "/containers/a/0/upper", data + "/volumes/shared/secret", data + "/logs", data,
		state + "/shm/secret", state + "/pod.json", state + "/status.json", state + "/lock", state,
	} {
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
		if got := s.asNobody("stat " + file); got != "EACCES" {
			t.Errorf("an ordinary user sees %s: %s", file, got)
		}
	}
	for file, mode := range map[string]fs.FileMode{
		filepath.Dir(data): 0o700, data: 0o700, filepath.Dir(state): 0o700, state: 0o700,
		state + "/pod.json": 0o600, state + "/status.json": 0o600, state + "/lock": 0o600,
	} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v; want %v", file, info.Mode(), err, mode)
		}
	}
	sup.Stop(0)
	s.finish(sup)
}

// The container's own user gets everywhere it should nevertheless.
func TestNobodyInside(t *testing.T) {
	s := newStage(t)
	user := int64(nobody)
	p := shared(s.pod(box("a", "stat /bin/probe; append /tmp/x 1; append /shared/x 2; append /dev/shm/x 3; ls /; stat /etc/hosts")))
	p.Spec.SecurityContext = &PodSecurityContext{RunAsUser: &user}
	result, got := s.run(p)
	if text := strings.Join(got, "\n"); result != (Result{}) || strings.Count(text, "a: ok") != 3 || strings.Contains(text, "EACCES") {
		t.Errorf("%+v\n%s", result, text)
	}
}

// Who may not look whether a pod's supervisor lives is not told that it died.
func TestNobodyAsks(t *testing.T) {
	s := newStage(t)
	sup, out := s.start(s.pod(box("a", "hold")))
	out.await("a: ready", 1)
	name := sup.Pod().Metadata.Name
	if err := copySelf(s.path("self")); err != nil {
		t.Fatal(err)
	}
	for _, open := range []bool{false, true} {
		if open { // as another version may have made them
			for _, file := range []string{"run", "run/pods", "run/pods/" + name} {
				os.Chmod(s.path(file), 0o755)
			}
			for _, file := range []string{"pod.json", "status.json"} {
				os.Chmod(s.path("run/pods/"+name+"/"+file), 0o644)
			}
		}
		ask := exec.Command(s.path("self"), getArg, s.store.Root, name)
		ask.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		text, _ := ask.CombinedOutput()
		if !strings.Contains(string(text), "permission denied") || !strings.Contains(string(text), "sudo") {
			t.Errorf("open %t: an ordinary user is told %s", open, text)
		}
	}
	sup.Stop(0)
	s.finish(sup)
}

// getArg makes this test binary look for a pod: the store's root and the name
// follow.
const getArg = "get"

func copySelf(to string) error {
	data, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}
