package integration

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
)

// tree lists what is below the state and data directories.
func tree(t testing.TB) (list []string) {
	t.Helper()
	for _, dir := range []string{"state", "data"} {
		filepath.WalkDir(filepath.Join(testkit.Scratch(), dir), func(path string, d os.DirEntry, err error) error {
			if err == nil && !strings.Contains(path, "/images") {
				list = append(list, path)
			}
			return nil
		})
	}
	return list
}

// Bad input is refused with an error that says what, where and what to do,
// before anything is made.
func TestPodBadInput(t *testing.T) {
	dir := t.TempDir()
	os.Chmod(dir, 0o755)
	image := newRoot(t)
	if err := os.Symlink(image, filepath.Join(dir, "image")); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"bin/script": "#!/usr/bin/python9 -x\n", "bin/text": "#no interpreter", "bin/plain": "x"} {
		if err := os.WriteFile(filepath.Join(image, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	os.Chmod(filepath.Join(image, "bin/plain"), 0o644)
	secret := t.TempDir()
	if err := os.Symlink(secret, filepath.Join(image, "leak")); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	name := newName(t)
	file := filepath.Join(dir, "pod.json")

	// Line 4 has the pod's fields, line 5 the container, line 6 its fields.
	write := func(container, pod string) {
		if pod != "" {
			pod += ", "
		}
		text := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Pod",
"metadata": {"name": "%s"},
"spec": {"restartPolicy": "Never",
%s"containers": [
{"name": "a", "image": "./image",
%s}]}}
`, name, pod, container)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const run, volume = `"command": ["probe", "wait"]`, `"volumes": [{"name": "v", "hostPath": {"path": "./volume"}}]`
	os.MkdirAll(filepath.Join(dir, "volume"), 0o755)
	for _, tt := range []struct {
		what, container, pod string
		code                 int
		want                 []string
	}{
		{"unknown field", `"comand": ["x"]`, "", 1, []string{file + ":6:", "spec.containers[0].comand", "unknown field", "did you mean command?"}},
		{"unknown field of the pod", run, `"conainers": []`, 1, []string{file + ":4:", "spec.conainers"}},
		{"wrong type", `"command": "probe"`, "", 1, []string{file + ":6:", "spec.containers[0].command", "expected a list"}},
		{"number in quotes", run + `, "ports": [{"containerPort": "80"}]`, "", 1, []string{file + ":6:", "containerPort", "expected a number"}},
		{"missing image", run + `}, {"name": "b", "image": "./gone", ` + run, "", 1, []string{file + ":6:", "spec.containers[1].image", filepath.Join(dir, "gone")}},
		{"image without the command", `"command": ["redis-server"]`, "", 127, []string{file + ":6:", "spec.containers[0].command[0]", `"redis-server"`, "/usr/bin:/sbin:/bin", filepath.Join(dir, "image")}},
		{"path of a missing command", `"command": ["/opt/x"]`, "", 127, []string{file + ":6:", "/opt/x"}},
		{"not executable", `"command": ["/bin/plain"]`, "", 126, []string{file + ":6:", "/bin/plain"}},
		{"script without its interpreter", `"command": ["script"]`, "", 127, []string{file + ":6:", "/bin/script", "/usr/bin/python9"}},
		{"duplicate names", run + `}, {"name": "a", "image": "./image", ` + run, "", 1, []string{file + ":6:", "spec.containers[1].name", `"a"`}},
		{"duplicate volumes", run, `"volumes": [{"name": "v"}, {"name": "v"}]`, 1, []string{file + ":4:", "spec.volumes[1].name"}},
		{"port out of range", run + `, "ports": [{"containerPort": 65536}]`, "", 1, []string{file + ":6:", "spec.containers[0].ports[0].containerPort", "65535"}},
		{"host port out of range", run + `, "ports": [{"containerPort": 1, "hostPort": -1}]`, "", 1, []string{file + ":6:", "hostPort"}},
		{"port taken", run + fmt.Sprintf(`, "ports": [{"containerPort": 80, "hostIP": "127.0.0.1", "hostPort": %d}]`, port), "", 1, []string{file + ":6:", "spec.containers[0].ports[0].hostPort", fmt.Sprint(port), "in use by another process", "choose another"}},
		{"memory", run + `, "resources": {"limits": {"memory": "12Q"}}`, "", 1, []string{file + ":6:", "spec.containers[0].resources.limits.memory", `"12Q"`, "Mi"}},
		{"mount out of the root by a link", run + `, "volumeMounts": [{"name": "v", "mountPath": "/leak/x"}]`, volume, 1, []string{file + ":6:", "spec.containers[0].volumeMounts[0].mountPath", "/leak is a symbolic link to " + secret}},
		{"mount path with dots", run + `, "volumeMounts": [{"name": "v", "mountPath": "/x/../../y"}]`, volume, 1, []string{file + ":6:", "mountPath"}},
		{"volume that is not declared", run + `, "volumeMounts": [{"name": "w", "mountPath": "/x"}]`, volume, 1, []string{file + ":6:", `"w"`}},
		{"missing host path", run, `"volumes": [{"name": "v", "hostPath": {"path": "./nothing"}}]`, 1, []string{file + ":4:", filepath.Join(dir, "nothing")}},
		{"unsupported field", run + `, "lifecycle": {"preStop": {}}`, "", 1, []string{file + ":6:", "spec.containers[0].lifecycle"}},
		{"restart policy", run, `"restartPolicy": "Sometimes"`, 1, []string{file + ":", "restartPolicy"}},
		{"user that is no number", run + `, "securityContext": {"runAsUser": "web"}`, "", 1, []string{file + ":6:", "runAsUser"}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			write(tt.container, tt.pod)
			before := tree(t)
			for _, args := range [][]string{{"pod", "run", file}, {"pod", "run", "-d", file}} {
				peapod(t, args...).wants(tt.code, tt.want...)
			}
			for _, path := range tree(t) {
				if strings.Contains(path, name) {
					t.Errorf("%s was made", path)
				}
			}
			if tt.what != "port taken" && len(tree(t)) != len(before) {
				t.Errorf("before: %q\nafter: %q", before, tree(t))
			}
		})
	}
	if entries, _ := os.ReadDir(secret); len(entries) > 0 {
		t.Errorf("something was made outside of the image: %v", entries)
	}
	for what, text := range map[string]string{"": "", "no JSON": "{", "a list": "[]", "a Deployment": `{"apiVersion": "apps/v1", "kind": "Deployment"}`} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if r := peapod(t, "pod", "run", file); r.code != 1 || !strings.Contains(r.stderr, file) {
			t.Errorf("%s: %d %s", what, r.code, r.stderr)
		}
	}
}

func TestPodNameTaken(t *testing.T) {
	name, path := podSpec(t, probing("wait"))
	peapod(t, "pod", "run", "-d", path).ok()
	for _, args := range [][]string{{"pod", "run", path}, {"pod", "run", "-d", path}} {
		peapod(t, args...).wants(1, name, "exists already", "peapod pod rm", "--name")
	}
	peapod(t, "pod", "ps").ok()
	peapod(t, "pod", "stop", "-t", "1", name).ok()
	peapod(t, "pod", "run", path).wants(1, name, "has ended")
	peapod(t, "pod", "rm", name).ok()
}
