package pod

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// The engines' profile where nothing is said, else what the container says, else
// the pod; a profile's path is relative to the spec's file.
func TestSeccompProfiles(t *testing.T) {
	keyctl := fmt.Sprintf("status Seccomp; syscall %d 1099511627775; status NoNewPrivs", unix.SYS_KEYCTL)
	s := newStage(t)
	silent := s.pod(box("a", keyctl), box("b", keyctl), box("c", keyctl))
	silent.Spec.Containers[1].SecurityContext = &SecurityContext{SeccompProfile: &SeccompProfile{Type: SeccompUnconfined}}
	silent.Spec.Containers[2].SecurityContext = &SecurityContext{Capabilities: &Capabilities{Add: []string{"SYS_ADMIN"}}}
	s.expect(silent,
		"a: 2", "a: EPERM", "a: 0",
		"b: 0", "b: ENOTSUP", "b: 0",
		"c: 2", "c: EPERM", "c: 0")

	p := s.pod(box("a", keyctl), box("b", keyctl))
	p.Spec.SecurityContext = &PodSecurityContext{SeccompProfile: &SeccompProfile{Type: SeccompLocalhost, LocalhostProfile: "profiles/own.json"}}
	p.Spec.Containers[1].SecurityContext = &SecurityContext{SeccompProfile: &SeccompProfile{Type: SeccompRuntimeDefault}}
	file := filepath.Join(p.Dir, "profiles/own.json")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
		{"names": ["keyctl"], "action": "SCMP_ACT_ERRNO", "errno": "ENOTNAM", "comment": "like podman's"}]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	s.expect(p, "a: 2", "a: ENOTNAM", "a: 0", "b: 2", "b: EPERM", "b: 0")
}

func TestSeccompRefused(t *testing.T) {
	const pod = `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {
"securityContext": {"seccompProfile": %s},
"containers": [{"name": "c", "image": "./c"}]}}`
	for profile, want := range map[string]string{
		`{"type": "Default"}`:   `f:2:48: spec.securityContext.seccompProfile.type: unknown value "Default"; use RuntimeDefault, Unconfined, Localhost`,
		`{}`:                    "f:2:21: spec.securityContext.seccompProfile.type: missing; use RuntimeDefault, Unconfined or Localhost",
		`{"type": "Localhost"}`: "f:2:21: spec.securityContext.seccompProfile.localhostProfile: missing; type Localhost takes the path of a profile from here",
		`{"type": "Unconfined", "localhostProfile": "x"}`: "f:2:82: spec.securityContext.seccompProfile.localhostProfile: is for type Localhost only, the type is Unconfined",
	} {
		_, err := Parse("f", fmt.Appendf(nil, pod, profile))
		checkError(t, profile, err, want)
	}
}

func TestSeccompProfileRefused(t *testing.T) {
	p := &Pod{Dir: t.TempDir(), Spec: Spec{Containers: []Container{{SecurityContext: &SecurityContext{
		SeccompProfile: &SeccompProfile{Type: SeccompLocalhost, LocalhostProfile: "own.json"},
	}}}}}
	for text, want := range map[string]string{
		`{"defaultAction": "SCMP_ACT_ERRNO", "syscall": []}`: `own.json:1:37: syscall: unknown field; did you mean syscalls?`,
		"{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"syscalls\": [\n{\"names\": [\"read\"], \"action\": \"ALLOW\"}]}": `own.json:2:31: syscalls[0].action: there is no action "ALLOW": give ` +
			"SCMP_ACT_ALLOW, _ERRNO, _KILL, _KILL_PROCESS, _KILL_THREAD, _LOG, _NOTIFY, _TRACE or _TRAP",
		"": "own.json: the file is empty",
	} {
		if err := os.WriteFile(filepath.Join(p.Dir, "own.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := p.seccomp(0, nil)
		checkError(t, text, err, "spec.containers[0].securityContext.seccompProfile.localhostProfile: "+filepath.Join(p.Dir, want))
	}
}
