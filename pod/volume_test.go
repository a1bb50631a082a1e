package pod

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// withVolumes adds volumes, and mounts to the first container.
func withVolumes(p *Pod, volumes []Volume, mounts ...VolumeMount) *Pod {
	p.Spec.Volumes = volumes
	p.Spec.Containers[0].VolumeMounts = mounts
	p.SetDefaults()
	return p
}

func TestHostPath(t *testing.T) {
	s := newStage(t)
	s.write("host/file", "from the host")
	l, err := net.Listen("unix", s.path("host/socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	host := func(path string, kind HostPathType) *HostPath { return &HostPath{Path: path, Type: kind} }
	p := withVolumes(
		s.pod(box("a", "cat /any/file; cat /file; stat /made; stat /madefile; append /any/new x; append /readonly/new x; append /madefile text; stat /socket")),
		[]Volume{
			{Name: "any", HostPath: host("host", "")},
			{Name: "absolute", HostPath: host(s.path("host"), HostPathDirectory)},
			{Name: "file", HostPath: host("host/file", HostPathFile)},
			{Name: "made", HostPath: host("made/deep", HostPathDirectoryOrCreate)},
			{Name: "madefile", HostPath: host("madefile", HostPathFileOrCreate)},
			{Name: "socket", HostPath: host("host/socket", HostPathSocket)},
		},
		VolumeMount{Name: "any", MountPath: "/any"},
		VolumeMount{Name: "absolute", MountPath: "/readonly", ReadOnly: true},
		VolumeMount{Name: "file", MountPath: "/file"},
		VolumeMount{Name: "made", MountPath: "/made"},
		VolumeMount{Name: "madefile", MountPath: "/madefile"},
		VolumeMount{Name: "socket", MountPath: "/socket"},
	)
	_, got := s.run(p)
	if len(got) != 8 || !strings.HasPrefix(got[7], "a: socket ") {
		t.Fatalf("output %q", got)
	}
	s.same(got[:7], []string{
		"a: from the host", "a: from the host", "a: dir 0755 0:0 0:0", "a: file 0644 0:0 0:0", "a: ok", "a: EROFS", "a: ok",
	})
	if s.read("host/new") != "x" || s.read("madefile") != "text" {
		t.Error("the writes did not reach the host")
	}
}

func TestHostPathErrors(t *testing.T) {
	s := newStage(t)
	s.write("file", "")
	for _, tt := range []struct {
		h    HostPath
		want string
	}{
		{HostPath{Path: "gone"}, "there is no " + s.path("gone")},
		{HostPath{Path: "file", Type: HostPathDirectory}, "is a file, not a Directory"},
		{HostPath{Path: "image", Type: HostPathFile}, "is a directory, not a File"},
		{HostPath{Path: "image", Type: HostPathFileOrCreate}, "is a directory, not a File"},
		{HostPath{Path: "file", Type: HostPathDirectoryOrCreate}, "is a file, not a Directory"},
		{HostPath{Path: "file", Type: HostPathSocket}, "is a file, not a Socket"},
		{HostPath{Path: "file/below", Type: HostPathDirectoryOrCreate}, s.path("file/below")},
	} {
		p := withVolumes(s.pod(box("a", "hold")), []Volume{{Name: "v", HostPath: &tt.h}}, VolumeMount{Name: "v", MountPath: "/v"})
		s.refuse(p, "spec.volumes[0]", tt.want)
	}
	// What is found only when it is made is undone as well.
	p := withVolumes(s.pod(box("a", "hold")), []Volume{
		{Name: "m", EmptyDir: &EmptyDir{Medium: MediumMemory}},
		{Name: "v", HostPath: &HostPath{Path: "nodir/file", Type: HostPathFileOrCreate}},
	}, VolumeMount{Name: "v", MountPath: "/v"})
	s.refuse(p, "spec.volumes[1]", "volume v", s.path("nodir/file"))
}

func TestEmptyDir(t *testing.T) {
	s := newStage(t)
	group := int64(77)
	user := int64(1234)
	p := withVolumes(
		s.pod(box("a", "stat /disk; stat /memory; append /disk/x one; fill /memory/big 3000000; ls /disk; append /memory/x x; append /ro/x x; id")),
		[]Volume{{Name: "disk"}, {Name: "memory", EmptyDir: &EmptyDir{Medium: MediumMemory, SizeLimit: quantity(t, "1Mi")}}},
		VolumeMount{Name: "disk", MountPath: "/disk"}, VolumeMount{Name: "memory", MountPath: "/memory"},
		VolumeMount{Name: "disk", MountPath: "/ro", ReadOnly: true},
	)
	p.Spec.SecurityContext = &PodSecurityContext{FSGroup: &group, RunAsUser: &user}
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	s.expect(p, "a: dir 02777 0:77 0:0", "a: dir 02777 0:77 0:0", "a: ok", "a: ENOSPC", "a: x", "a: ENOSPC", "a: EROFS", "a: 1234:0 [77]")
}

// An emptyDir keeps what is in it over restarts of a container.
func TestEmptyDirRestart(t *testing.T) {
	s := newStage(t)
	quickly(t)
	p := shared(s.pod(box("a", "flaky /shared/n 2")))
	p.Spec.RestartPolicy = RestartOnFailure
	s.expect(p, "a: start 1", "a: start 2", "a: fine")
}

func TestSubPath(t *testing.T) {
	s := newStage(t)
	s.write("host/deep/file", "deep")
	if err := os.Symlink("deep", s.path("host/inside")); err != nil {
		t.Fatal(err)
	}
	mount := func(at, sub string) VolumeMount { return VolumeMount{Name: "v", MountPath: at, SubPath: sub} }
	s.expect(withVolumes(
		s.pod(box("a", "cat /a/file; cat /b; cat /c/file; append /new/x x; stat /new; ls /a")),
		[]Volume{{Name: "v", HostPath: &HostPath{Path: "host"}}},
		mount("/a", "deep"), mount("/b", "deep/file"), mount("/c", "inside"), mount("/new", "one/two"),
	), "a: deep", "a: deep", "a: deep", "a: ok", "a: dir 0755 0:0 0:0", "a: file")
	if s.read("host/one/two/x") != "x" {
		t.Error("the write did not reach the volume")
	}
}

// A symbolic link in a volume never leads out of it.
func TestSubPathHostile(t *testing.T) {
	s := newStage(t)
	s.write("secret/file", "secret")
	s.write("host/file", "")
	for name, target := range map[string]string{
		"absolute": "/etc", "up": "../secret", "dangling": "../new/dir", "root": "/", "loop": "loop",
	} {
		if err := os.Symlink(target, s.path("host/"+name)); err != nil {
			t.Fatal(err)
		}
	}
	for sub, want := range map[string]string{
		"absolute": "leads out of the volume", "up": "leads out of the volume", "up/file": "leads out of the volume",
		"dangling": "subPath dangling", "dangling/x": "subPath dangling/x", "root/etc/passwd": "leads out of the volume",
		"loop": "subPath loop", "file/x": "subPath file/x",
	} {
		p := withVolumes(s.pod(box("b", "hold"), box("a", "hold")), []Volume{{Name: "v", HostPath: &HostPath{Path: "host"}}},
			VolumeMount{Name: "v", MountPath: "/v", SubPath: sub})
		s.refuse(p, "spec.containers[0].volumeMounts[0].subPath", want)
	}
	if _, err := os.Stat(s.path("new")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory was made outside of the volume: %v", err)
	}
}

// A symbolic link in an image never leads a mount out of it: it is followed
// inside of the image, and refused where it leads nowhere there.
func TestMountThroughLink(t *testing.T) {
	s := newStage(t)
	s.write("host/file", "volume")
	s.write("secret/keep", "kept")
	s.write("image/data/x", "")
	for name, target := range map[string]string{
		"out": s.path("secret"), "up": "../../../../.." + s.path("secret"), "in": "/data", "climb": "../../data", "loop": "loop", "file": "etc/passwd",
	} {
		if err := os.Symlink(target, filepath.Join(s.image, name)); err != nil {
			t.Fatal(err)
		}
	}
	pod := func(mountPath string) *Pod {
		return withVolumes(s.pod(box("a", "cat /data/v/file; cat /data/file")), []Volume{{Name: "v", HostPath: &HostPath{Path: "host"}}},
			VolumeMount{Name: "v", MountPath: mountPath})
	}
	for _, tt := range []struct{ at, want string }{
		{"/out", "/out is a symbolic link to " + s.path("secret")},
		{"/out/deep/v", "/out is a symbolic link to"},
		{"/up/v", "/up is a symbolic link to ../"},
		{"/loop/v", "/loop leads to itself"},
		{"/file/v", "/file is not a directory"},
	} {
		err := s.refuse(pod(tt.at), "spec.containers[0].volumeMounts[0].mountPath", tt.want)
		if _, statErr := os.Stat(s.path("run")); statErr == nil {
			t.Errorf("something was made before %v", err)
		}
	}
	if entries, _ := os.ReadDir(s.path("secret")); len(entries) != 1 {
		t.Errorf("something was made outside of the root: %v", entries)
	}
	s.expect(pod("/in/v"), "a: volume", "a: ENOENT")
	s.expect(pod("/climb"), "a: ENOENT", "a: volume")
	if entries, _ := os.ReadDir(s.path("image/data")); len(entries) != 1 {
		t.Errorf("the image changed: %v", entries)
	}
}

func TestOpenSubPath(t *testing.T) {
	dir := t.TempDir()
	f, err := openSubPath(dir, "a/b/c")
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if info, err := os.Stat(filepath.Join(dir, "a/b/c")); err != nil || !info.IsDir() {
		t.Error(err)
	}
	if _, err := openSubPath(filepath.Join(dir, "gone"), "a"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestUnmountNothing(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{filepath.Join(dir, "gone"), "/dev/null/x"} {
		if err := unmount(path); err != nil && os.Geteuid() == 0 && path != "/dev/null/x" {
			t.Error(err)
		}
	}
	if err := unmountBelow(filepath.Join(dir, "gone")); err != nil {
		t.Error(err)
	}
}
