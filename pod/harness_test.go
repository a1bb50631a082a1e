package pod

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peapod/peapod/cgroups"
	"github.com/peapod/peapod/internal/testkit"
)

// stage is what the pods of a test are run from: a store of its own and an
// image with the probe.
type stage struct {
	t     testing.TB
	dir   string
	image string
	store Store
	pods  []string
}

func newStage(t testing.TB) *stage {
	t.Helper()
	testkit.NeedRoot(t)
	dir, err := os.MkdirTemp(testkit.Scratch(), "stage-")
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, 0o755)
	s := &stage{t: t, dir: dir, image: filepath.Join(dir, "image"), store: Store{
		Root: filepath.Join(dir, "run"), Data: filepath.Join(dir, "data"),
		Log: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}}
	for _, d := range []string{"bin", "etc", "tmp", "proc"} {
		if err := os.MkdirAll(filepath.Join(s.image, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(testkit.Probe(t), filepath.Join(s.image, "bin/probe")); err != nil {
		t.Fatal(err)
	}
	os.Chmod(filepath.Join(s.image, "tmp"), 0o777|os.ModeSticky)
	s.write("image/etc/passwd", "root:x:0:0::/root:/bin/sh\nweb:x:33:44::/srv:/bin/sh\n")
	t.Cleanup(func() {
		s.nothingLeft()
		os.RemoveAll(dir)
	})
	return s
}

// testWriter shows what the library logs with the test that it belongs to.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("log: %s", b)
	return len(b), nil
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

// data is where a pod's data is.
func (s *stage) data(pod string) string {
	s.t.Helper()
	p, err := s.store.place(pod)
	if err != nil {
		s.t.Fatal(err)
	}
	return p.data
}

func (s *stage) write(name, text string) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(s.path(name)), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(s.path(name), []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) read(name string) string {
	s.t.Helper()
	b, err := os.ReadFile(s.path(name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

// box is a container that performs operations of the probe, separated by "; ".
func box(name, operations string) Container {
	return Container{Name: name, Image: "image", Command: append([]string{"probe"}, words(operations)...)}
}

func words(operations string) []string {
	return strings.Fields(strings.ReplaceAll(operations, ";", " ; "))
}

// pod is a pod of boxes that are not restarted, with a name of its own.
func (s *stage) pod(containers ...Container) *Pod {
	s.pods = append(s.pods, fmt.Sprintf("%s%d", testkit.Mark, len(s.pods)))
	p := &Pod{APIVersion: "v1", Kind: "Pod", Metadata: Metadata{Name: s.pods[len(s.pods)-1]}, Dir: s.dir}
	p.Spec = Spec{Containers: containers, RestartPolicy: RestartNever}
	p.SetDefaults()
	return p
}

// output collects lines as "container: text", those of stderr with "!".
type output struct {
	t     testing.TB
	mu    sync.Mutex
	lines []string
	more  chan struct{} // closed and replaced when lines were added
}

func newOutput(t testing.TB) *output { return &output{t: t, more: make(chan struct{})} }

func (o *output) add(l Line) {
	mark := ": "
	if l.Stream == "stderr" {
		mark = "! "
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lines = append(o.lines, l.Container+mark+string(l.Text))
	close(o.more)
	o.more = make(chan struct{})
}

func (o *output) all() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.lines)
}

// await waits until line was written n times.
func (o *output) await(line string, n int) {
	o.t.Helper()
	late := time.After(20 * time.Second)
	for {
		o.mu.Lock()
		found, more := 0, o.more
		for _, l := range o.lines {
			if l == line {
				found++
			}
		}
		o.mu.Unlock()
		if found >= n {
			return
		}
		select {
		case <-more:
		case <-late:
			o.t.Fatalf("waited for %q (%d times) in vain; there is %q", line, n, o.all())
		}
	}
}

// start starts a pod that is stopped at the end of the test at the latest.
func (s *stage) start(p *Pod, change ...func(*Options)) (*Supervisor, *output) {
	s.t.Helper()
	out := newOutput(s.t)
	o := &Options{Store: s.store, Output: out.add}
	for _, f := range change {
		f(o)
	}
	sup, err := Start(testkit.Soon(s.t), p, o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		sup.Stop(0)
		sup.Wait()
	})
	return sup, out
}

// finish waits for a pod's end.
func (s *stage) finish(sup *Supervisor) Result {
	s.t.Helper()
	select {
	case <-sup.Done():
	case <-time.After(20 * time.Second):
		s.t.Fatalf("pod %s does not end: %+v", sup.Pod().Metadata.Name, sup.Status())
	}
	return sup.Wait()
}

// run runs a pod to its end and returns what it wrote.
func (s *stage) run(p *Pod, change ...func(*Options)) (Result, []string) {
	s.t.Helper()
	sup, out := s.start(p, change...)
	return s.finish(sup), out.all()
}

// expect runs a pod, whose containers are to end well, and compares what it
// writes, without the order between containers and streams.
func (s *stage) expect(p *Pod, want ...string) {
	s.t.Helper()
	result, got := s.run(p)
	if result != (Result{}) {
		s.t.Errorf("result %+v", result)
	}
	s.same(got, want)
}

func (s *stage) same(got, want []string) {
	s.t.Helper()
	byStream := func(a, b string) int { return strings.Compare(a[:2], b[:2]) } // streams are not in step
	got, want = slices.Clone(got), slices.Clone(want)
	slices.SortStableFunc(got, byStream)
	slices.SortStableFunc(want, byStream)
	if !slices.Equal(got, want) {
		s.t.Errorf("output:\n %s\nwant:\n %s", strings.Join(got, "\n "), strings.Join(want, "\n "))
	}
}

// refuse starts a pod that cannot start, and wants the error to have all the
// words, and nothing to be left.
func (s *stage) refuse(p *Pod, words ...string) error {
	s.t.Helper()
	sup, err := Start(testkit.Soon(s.t), p, &Options{Store: s.store})
	if err == nil {
		sup.Stop(0)
		sup.Wait()
		s.t.Fatalf("no error, want one with %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			s.t.Errorf("the error does not tell %q:\n%v", w, err)
		}
	}
	s.nothingLeft()
	return err
}

// nothingLeft checks that no trace of the stage's pods is left.
func (s *stage) nothingLeft() {
	s.t.Helper()
	for _, dir := range []string{"run/pods", "run/containers", "run/services", "run/hubs", "data/pods"} {
		entries, _ := os.ReadDir(s.path(dir))
		for _, e := range entries {
			s.t.Errorf("%s/%s is left", dir, e.Name())
		}
	}
	for _, name := range s.pods {
		p, err := s.store.place(name)
		if err != nil {
			continue
		}
		if _, err := cgroups.Load(p.group); err == nil {
			s.t.Errorf("cgroup %s is left", p.group)
		}
	}
	testkit.Until(s.t, func() string { return strings.Join(testkit.Outside(filepath.Base(s.dir)), "\n") })
	testkit.Until(s.t, func() string { // the last that goes, when nobody waits for it any more
		left, _ := filepath.Glob(s.path("run/groups/*"))
		return strings.Join(left, "\n")
	})
}

// quickly makes the pauses between restarts short.
func quickly(t testing.TB) {
	old := firstBackOff
	firstBackOff = 10 * time.Millisecond
	t.Cleanup(func() { firstBackOff = old })
}
