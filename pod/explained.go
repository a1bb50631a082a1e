package pod

import "fmt"

// explained is an error in words of our own; its cause is found by errors.Is,
// and is not repeated in the text.
type explained struct {
	text  string
	cause error
}

func explain(cause error, format string, args ...any) error {
	return &explained{fmt.Sprintf(format, args...), cause}
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.cause }
