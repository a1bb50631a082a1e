package pod

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

func TestRun(t *testing.T) {
	s := newStage(t)
	result, got := s.run(s.pod(
		box("a", "echo one; stderr two; args"),
		box("b", "echo x; exit 0"),
	))
	if result != (Result{}) {
		t.Errorf("result %+v", result)
	}
	s.same(got, []string{"a: one", "a! two", `a: ["probe" "echo" "one" ";" "stderr" "two" ";" "args"]`, "b: x"})
}

func TestRunContext(t *testing.T) {
	s := newStage(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got []string
	p := s.pod(box("a", "hold"))
	go func() {
		defer cancel()
		testkit.Until(t, func() string {
			if r, err := s.store.Get(p.Metadata.Name); err != nil || r.Status.Phase != PodRunning {
				return "the pod does not run"
			}
			if info, err := os.Stat(filepath.Join(s.data(p.Metadata.Name), "logs", "a.log")); err != nil || info.Size() == 0 {
				return "the container says nothing"
			}
			return ""
		})
	}()
	result, err := Run(ctx, p, &Options{Store: s.store, Output: func(l Line) {
		got = append(got, string(l.Text))
	}})
	if err != nil || result != (Result{}) {
		t.Errorf("%+v, %v", result, err)
	}
	if !slices.Equal(got, []string{"ready", "terminated"}) {
		t.Errorf("output %q", got)
	}
	if p.Metadata.Name != s.pods[0] || len(p.Spec.Containers[0].Args) != 0 {
		t.Error("Run changed the spec")
	}
}

// A pod is not started on behalf of a context that has ended.
func TestStartCanceled(t *testing.T) {
	s := newStage(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Start(ctx, s.pod(box("a", "hold"), box("b", "hold")), &Options{Store: s.store})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
}

func TestExitStatus(t *testing.T) {
	s := newStage(t)
	for _, tt := range []struct {
		name       string
		containers []Container
		want       Result
	}{
		{"first to fail", []Container{box("a", "until /pod/b; exit 3"), box("b", "append /pod/b x; exit 7")}, Result{"b", 7}},
		{"one fails", []Container{box("a", "echo"), box("b", "exit 5")}, Result{"b", 5}},
		{"none", []Container{box("a", "echo"), box("b", "echo")}, Result{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := s.pod(tt.containers...)
			p.Spec.Volumes = []Volume{{Name: "pod", EmptyDir: &EmptyDir{}}}
			for i := range p.Spec.Containers {
				p.Spec.Containers[i].VolumeMounts = []VolumeMount{{Name: "pod", MountPath: "/pod"}}
			}
			if tt.want.Container == "b" && tt.name == "first to fail" {
				// a only ends when b has ended, not when it wrote.
				p.Spec.Containers[0] = box("a", "until /pod/b; sleep 300; exit 3")
				p.Spec.Containers[0].VolumeMounts = p.Spec.Containers[1].VolumeMounts
			}
			if got, _ := s.run(p); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	s := newStage(t)
	p := s.pod(box("a", "env A; env B; env HOSTNAME; args"), box("b", "env A; host"))
	p.Spec.Containers[0].Env = []EnvVar{{Name: "A", Value: "spec"}, {Name: "B", Value: "$(C)-$(A)"}}
	p.Spec.Containers[0].Args = []string{";", "echo", "args"}
	p.Metadata.Name = "other"
	name := s.pod().Metadata.Name
	_, got := s.run(p, func(o *Options) {
		o.Name = name
		o.Env = []string{"A=$(X) $", "C=c=c"}
		o.Args = map[string][]string{"a": {"and", "more"}}
	})
	s.same(got, []string{
		"a: A=$(X) $", "a: B=c=c-$(X) $", "a: HOSTNAME=" + name,
		`a: ["probe" "env" "A" ";" "env" "B" ";" "env" "HOSTNAME" ";" "args" ";" "echo" "args" "and" "more"]`, "a: args and more",
		"b: A=$(X) $", "b: " + name,
	})
}

func TestOptionErrors(t *testing.T) {
	base := &Pod{APIVersion: "v1", Kind: "Pod", Metadata: Metadata{Name: "p"}, Spec: Spec{Containers: []Container{{Name: "c", Image: "./none"}}}}
	base.SetDefaults()
	for _, tt := range []struct {
		o    Options
		want string
	}{
		{Options{Name: "a/b"}, `name "a/b"`},
		{Options{Name: ".."}, `name ".."`},
		{Options{Name: strings.Repeat("a", 64)}, "at most 63"},
		{Options{Args: map[string][]string{"x": {"y"}}}, `argument for container "x": the pod has no such container; it has c`},
		{Options{Env: []string{"A"}}, `environment variable "A": give NAME=value`},
		{Options{Env: []string{"=b"}}, `environment variable "=b": give NAME=value`},
		{Options{Env: []string{"1A=b"}}, `"1A" cannot name a variable`},
	} {
		_, err := Start(t.Context(), base, &tt.o)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.o, err, tt.want)
		}
	}
}

func TestAddEnv(t *testing.T) {
	p := &Pod{Spec: Spec{Containers: []Container{
		{Name: "a", Env: []EnvVar{{Name: "X", Value: "1"}, {Name: "Y", Value: "$(Z)"}}}, {Name: "b"},
	}}}
	if err := p.addEnv([]string{"Z=a$b", "X=2", "E="}); err != nil {
		t.Fatal(err)
	}
	vars := []EnvVar{{Name: "Z", Value: "a$$b"}, {Name: "X", Value: "2"}, {Name: "E"}}
	if got, want := p.Spec.Containers[0].Env, append(vars, EnvVar{Name: "Y", Value: "$(Z)"}); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := p.Spec.Containers[1].Env; !slices.Equal(got, vars) {
		t.Errorf("got %v, want %v", got, vars)
	}
}

func TestBuiltinNeedsBinary(t *testing.T) {
	s := newStage(t)
	p := s.pod(Container{Name: "a", Image: BuiltinDemo, Args: []string{"web"}})
	s.refuse(p, "spec.containers[0].image", "Options.Builtin")
}

// What cannot work is found before anything is made.
func TestRefusedBeforeMade(t *testing.T) {
	s := newStage(t)
	s.write("noexec/bin/tool", "x")
	s.write("script/bin/tool", "#!/bin/missing\n")
	os.Chmod(s.path("script/bin/tool"), 0o755)
	for _, tt := range []struct {
		c    Container
		code int
		want []string
	}{
		{Container{Name: "a", Image: "image", Command: []string{"nothing"}}, 127, []string{"spec.containers[0].command[0]", `"nothing"`, "/bin"}},
		{Container{Name: "a", Image: "noexec", Command: []string{"/bin/tool"}}, 126, []string{"/bin/tool"}},
		{Container{Name: "a", Image: "script", Command: []string{"tool"}}, 127, []string{"/bin/missing"}},
		{Container{Name: "a", Image: "gone", Command: []string{"x"}}, 1, []string{"spec.containers[0].image", s.path("gone")}},
	} {
		err := s.refuse(s.pod(tt.c), tt.want...)
		if code := ExitCode(err); code != tt.code {
			t.Errorf("%v: exit code %d, want %d", err, code, tt.code)
		}
		if _, err := os.Stat(s.path("run")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the state directory was made (%v)", err)
		}
	}
}

// A command on a volume cannot be looked for beforehand: what was made until
// then is undone, and containers that ran already end.
func TestStartUndone(t *testing.T) {
	s := newStage(t)
	if err := os.Mkdir(s.path("volume"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		command string
		code    int
	}{{"/v/nothing", 127}, {"/v", 126}} {
		p := s.pod(box("a", "stubborn"), box("b", "hold"), Container{Name: "c", Image: "image", Command: []string{tt.command}})
		p.Spec.Volumes = []Volume{{Name: "v", HostPath: &HostPath{Path: "volume"}}, {Name: "m", EmptyDir: &EmptyDir{Medium: MediumMemory}}}
		p.Spec.Containers[2].VolumeMounts = []VolumeMount{{Name: "v", MountPath: "/v"}}
		p.Spec.Containers[0].VolumeMounts = []VolumeMount{{Name: "m", MountPath: "/m"}}
		before := time.Now()
		err := s.refuse(p, "spec.containers[2]", tt.command)
		if code := ExitCode(err); code != tt.code {
			t.Errorf("%v: exit code %d, want %d", err, code, tt.code)
		}
		if took := time.Since(before); took > 10*time.Second {
			t.Errorf("the failure took %s: the other containers got their grace period", took)
		}
	}
}

// A data directory that cannot be written to.
func TestStartWithoutDisk(t *testing.T) {
	s := newStage(t)
	s.write("data", "a file")
	s.refuse(s.pod(box("a", "hold")), s.path("data"))
	os.Remove(s.path("data"))
	s.write("file", "")
	if _, err := Start(t.Context(), s.pod(box("a", "hold")), &Options{Store: Store{Root: s.path("file"), Data: s.path("data")}}); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("%v, want ENOTDIR", err)
	}

	if err := os.MkdirAll(s.path("data"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", s.path("data"), "tmpfs", unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), s.pod(box("a", "hold")), &Options{Store: s.store})
	if !errors.Is(err, unix.EROFS) {
		t.Errorf("%v, want EROFS", err)
	}
	if err := unix.Unmount(s.path("data"), 0); err != nil {
		t.Fatal(err)
	}
}

func TestExitCode(t *testing.T) {
	if code := ExitCode(syscall.ENOENT); code != 1 {
		t.Errorf("an errno gives %d", code)
	}
	if code := ExitCode(&remoteError{"x", 126}); code != 126 {
		t.Errorf("a remote error gives %d", code)
	}
}
