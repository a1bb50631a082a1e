package pod

import (
	"fmt"
	"slices"
	"testing"
)

// Ends are told in order, with what is written before them.
func TestEvents(t *testing.T) {
	s := newStage(t)
	quickly(t)
	p := shared(s.pod(box("a", "flaky /shared/n 3")))
	p.Spec.RestartPolicy = RestartOnFailure
	var got []string
	if result, _ := s.run(p, func(o *Options) {
		o.Event = func(e Event) {
			got = append(got, fmt.Sprint(e.Container, " ", e.Terminated.ExitCode, " ", e.Again, " ", e.After, " ", e.Stopping))
		}
	}); result != (Result{}) {
		t.Errorf("%+v", result)
	}
	if want := []string{"a 4 true 0s false", "a 4 true 10ms false", "a 0 false 0s false"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
