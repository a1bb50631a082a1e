package criu

import (
	"bytes"
	"io"
	"os"
	"strings"
)

// Errors are the last lines of a log in which criu tells of errors, without the
// times, one behind the other; "" where there are none.
func Errors(log string) string {
	const most = 3
	var list []string
	for line := range strings.Lines(log) {
		at := strings.Index(line, "Error (")
		if at < 0 {
			continue
		}
		text := strings.TrimSpace(line[at:])
		if strings.Contains(text, "RLIMIT_NOFILE for self") {
			continue // without CAP_SYS_RESOURCE it tells so each time, and goes on
		}
		// Error (criu/files.c:1): why
		if _, why, ok := strings.Cut(text, "): "); ok && strings.TrimSpace(why) != "" {
			text = strings.TrimSpace(why)
		}
		list = append(list, text)
	}
	return strings.Join(list[max(0, len(list)-most):], "; ")
}

// ErrorsIn is Errors of the end of a file; "" where there is none.
func ErrorsIn(path string) string {
	const most = 64 << 10
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > most {
		f.Seek(-most, io.SeekEnd)
	}
	text, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return ""
	}
	return Errors(string(bytes.ToValidUTF8(text, []byte("?"))))
}

// Unknown tells whether errors are those of a criu that does not know the
// kernel, which is newer than it.
func Unknown(errors string) bool {
	return strings.Contains(errors, "Could not initialize kernel features detection") || strings.Contains(errors, "failed when initializing kerndat")
}
