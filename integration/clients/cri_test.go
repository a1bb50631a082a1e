package clients

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
)

// A kubelet's calls make a pod of two containers, through containerd's CRI.
func TestCRI(t *testing.T) {
	config := fmt.Sprintf(`
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "%s:latest"
restrict_oom_score_adj = true
tolerate_missing_hugetlb_controller = true
[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "peapod"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.peapod]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.peapod.options]
BinaryName = %q
`, image, binary)
	c := newContainerd(t, config)
	had := existed("kubepods-peapod-test")
	t.Cleanup(func() {
		if !had {
			removeGroups(t, "kubepods-peapod-test/pod1")
			removeGroups(t, "kubepods-peapod-test")
		}
	})
	c.ok("--namespace", "k8s.io", "images", "import", dockerArchive(t, c.dir))
	client := testkit.Scratch() + "/cri"
	build := exec.Command("go", "build", "-C", "cri", "-o", client, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	logs := t.TempDir()
	kubelet := &engine{t: t, dir: c.dir, name: client}
	out := kubelet.ok(c.dir+"/sock", image+":latest", "peapod", logs)
	for _, want := range []string{
		"ipc shared: true", "uts shared: true", "pid shared: false",
		`exec: 5 "Seccomp:\t2\none\n"`, "stats: memory true, cpu true", "missing: true",
		"two: CONTAINER_EXITED 137", "stdout F hello from one",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// dockerArchive makes the tests' image one that `docker load` and `ctr images
// import` take. Its command waits, as a pod's sandbox does.
func dockerArchive(t *testing.T, dir string) string {
	t.Helper()
	layer, err := os.ReadFile(newImage(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "created": time.Unix(0, 0).UTC(),
		"config": map[string]any{"Cmd": []string{"/bin/sleep", "1000000"}, "Env": []string{"PATH=/bin"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}},
	})
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := json.Marshal([]any{map[string]any{"Config": "config.json", "RepoTags": []string{image + ":latest"}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(dir + "/docker.tar")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := tar.NewWriter(f)
	for name, data := range map[string][]byte{"manifest.json": manifest, "config.json": config, "layer.tar": layer} {
		err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))})
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}
