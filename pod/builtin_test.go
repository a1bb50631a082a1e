package pod

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// images lists what is in the store's directory of images.
func (s *Store) images(t *testing.T) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(s.imagesDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, filepath.Join(s.imagesDir(), e.Name()))
	}
	return list
}

// An image is there for as long as somebody uses it.
func TestBuiltinImage(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "peapod")
	build := func(text string) {
		t.Helper()
		if err := os.WriteFile(binary, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s := Store{Data: t.TempDir()}
	if err := s.sweepImages(); err != nil {
		t.Errorf("where there are none: %v", err)
	}
	find := func() *builtinImage {
		t.Helper()
		im, err := s.builtinImage(binary)
		if err != nil {
			t.Fatal(err)
		}
		return im
	}
	sweep := func(want int) {
		t.Helper()
		if err := s.sweepImages(); err != nil {
			t.Error(err)
		}
		if got := s.images(t); len(got) != want {
			t.Errorf("there are %q, want %d", got, want)
		}
	}
	build("one")
	one, again := find(), find()
	if again.root != one.root {
		t.Errorf("%s and %s: not the same image", one.root, again.root)
	}
	if b, err := os.ReadFile(filepath.Join(one.root, BuiltinBinary)); string(b) != "one" || err != nil {
		t.Errorf("%q %v", b, err)
	}
	build("three")
	other := find()
	if other.root == one.root {
		t.Errorf("%s is the image of another binary too", one.root)
	}
	if _, err := s.builtinImage(binary + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	// Somebody died while an image was made.
	if err := os.Mkdir(filepath.Join(s.imagesDir(), ".demo-123"), 0o700); err != nil {
		t.Fatal(err)
	}
	sweep(2)
	one.close()
	sweep(2)
	again.close()
	sweep(1)
	other.close()
	sweep(0)
	find().close()
}

// Each pod that ends removes the image unless another pod uses it; so does the
// removal of one whose supervisor was killed.
func TestBuiltinImageOfPods(t *testing.T) {
	s := newStage(t)
	// The image has the command's name, and here the probe behind it.
	use := func(o *Options) { o.Builtin = filepath.Join(s.image, "bin/probe") }
	demo := func(name string) Container {
		return Container{Name: name, Image: BuiltinDemo, Args: []string{"hold"}, Command: []string{BuiltinBinary}}
	}
	one, out := s.start(s.pod(demo("a"), demo("b")), use)
	out.await("a: ready", 1)
	other, out := s.start(s.pod(demo("a")), use)
	out.await("a: ready", 1)
	if got := s.store.images(t); len(got) != 1 {
		t.Errorf("%q, want one image for both", got)
	}
	one.Stop(0)
	s.finish(one)
	if got := s.store.images(t); len(got) != 1 {
		t.Errorf("%q, want the image that the other pod uses", got)
	}
	other.Stop(0)
	s.finish(other)
	if got := s.store.images(t); len(got) != 0 {
		t.Errorf("%q are left", got)
	}
	if err := os.Mkdir(filepath.Join(s.store.imagesDir(), "demo-killed"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := s.store.Remove(t.Context(), "gone", true); err != nil {
		t.Fatal(err)
	}
	if got := s.store.images(t); len(got) != 0 {
		t.Errorf("%q are left", got)
	}
}
