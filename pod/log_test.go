package pod

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// pumped is what a log becomes: the lines that were put out, and the file.
func pumped(t *testing.T, r io.Reader) (lines []string, text string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.log")
	l, err := openLog(path, func(l Line) {
		mark := ""
		if l.Partial {
			mark = "+"
		}
		lines = append(lines, string(l.Text)+mark)
	})
	if err != nil {
		t.Fatal(err)
	}
	l.pump("a", "stdout", r)
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return lines, string(b)
}

func TestPump(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"empty", "", nil},
		{"lines", "one\ntwo\n\nthree\n", []string{"one", "two", "", "three"}},
		{"no newline at the end", "one\ntwo", []string{"one", "two"}},
		{"carriage return", "one\r\n", []string{"one\r"}},
		{"binary", "\x00\xff \n", []string{"\x00\xff "}},
		{"long", long + "y\n", []string{long + "+", "y"}},
		{"long at the end", long, []string{long + "+", ""}},
		{"longest", long[1:] + "\nz\n", []string{long[1:], "z"}},
		{"longer", long + long + "\nz", []string{long + "+", long + "+", "", "z"}},
		{"many", strings.Repeat("0123456789\n", 5000), slices.Repeat([]string{"0123456789"}, 5000)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			readers := map[string]io.Reader{"at once": strings.NewReader(tt.text), "half": iotest.HalfReader(strings.NewReader(tt.text)), "with error": iotest.DataErrReader(strings.NewReader(tt.text))}
			if len(tt.text) < 1000 {
				readers["byte by byte"] = iotest.OneByteReader(strings.NewReader(tt.text))
			}
			for how, r := range readers {
				lines, file := pumped(t, r)
				if !slices.Equal(lines, tt.want) {
					t.Errorf("%s: %.300q, want %.300q", how, lines, tt.want)
				}
				if n := strings.Count(file, "\n"); n != len(tt.want) {
					t.Errorf("%s: %d lines in the file, want %d", how, n, len(tt.want))
				}
			}
		})
	}
}

// What waits for the end of its line is seen after a moment, as a part, and
// only then is there a timer.
func TestPumpUnfinished(t *testing.T) {
	for _, tt := range []struct {
		name  string
		steps []string // each is written when the one before was seen
		want  []string
	}{
		{"a question", []string{"hello\nName: ", "x\nbye\n"}, []string{"hello", "Name: +", "x", "bye"}},
		{"its end alone", []string{"Name: ", "\n"}, []string{"Name: +", ""}},
		{"the stream's end", []string{"Name: "}, []string{"Name: +", ""}},
		{"bit by bit", []string{".", ".", "."}, []string{".+", ".+", ".+", ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			seen := make(chan string, 10)
			var lines []string
			path := filepath.Join(t.TempDir(), "a.log")
			l, err := openLog(path, func(l Line) {
				text := string(l.Text)
				if l.Partial {
					text += "+"
				}
				lines = append(lines, text)
				seen <- text
			})
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				l.pump("a", "stdout", r)
			}()
			for _, step := range tt.steps {
				io.WriteString(w, step)
				for unfinished := !strings.HasSuffix(step, "\n"); unfinished; {
					unfinished = !strings.HasSuffix(<-seen, "+")
				}
			}
			w.Close()
			<-done
			if !slices.Equal(lines, tt.want) {
				t.Errorf("%q, want %q", lines, tt.want)
			}
			if err := l.close(); err != nil {
				t.Error(err)
			}
			reader := &logReader{container: "a", path: path}
			defer reader.close()
			var last []string
			if err := reader.begin(1, func(l Line) { last = append(last, string(l.Text)) }); err != nil {
				t.Error(err)
			}
			if line := strings.Join(last, ""); line != map[bool]string{true: "bye", false: strings.ReplaceAll(strings.Join(tt.want, ""), "+", "")}[tt.name == "a question"] {
				t.Errorf("the last line is %q", line)
			}
		})
	}
}

// deadlines counts how often a deadline is set.
type deadlines struct {
	io.Reader
	n int
}

func (d *deadlines) SetReadDeadline(time.Time) error { d.n++; return nil }

func TestPumpTimer(t *testing.T) {
	d := &deadlines{Reader: iotest.OneByteReader(strings.NewReader("one line\nand another\n"))}
	pumped(t, d)
	if d.n != 4 { // on and off for each
		t.Errorf("the timer was set %d times", d.n)
	}
	d = &deadlines{Reader: strings.NewReader("one line\nand another\n")}
	if pumped(t, d); d.n != 0 {
		t.Errorf("the timer was set %d times for whole lines", d.n)
	}
}

func TestLastLines(t *testing.T) {
	var list []Line
	for _, s := range strings.Fields("o1 e1+ o2+ e2 o3 o4+") {
		list = append(list, Line{Stream: s[:1], Text: []byte(s[1:2]), Partial: strings.HasSuffix(s, "+")})
	}
	for n, want := range []int{0, 1, 2, 5, 6, 6} {
		if got := lastLines(list, n); len(got) != want {
			t.Errorf("the last %d lines have %d parts, want %d", n, len(got), want)
		}
	}
}

// A full disk loses lines, and nothing else.
func TestLogFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full")
	}
	n := 0
	l, err := openLog("/dev/full", func(Line) { n++ })
	if err != nil {
		t.Fatal(err)
	}
	l.pump("a", "stdout", strings.NewReader(strings.Repeat("line\n", 1000)))
	if err := l.close(); err == nil {
		t.Error("no error")
	}
	if n != 1000 {
		t.Errorf("%d lines were put out", n)
	}
}

func TestParseLogLine(t *testing.T) {
	when := time.Date(2024, 5, 6, 7, 8, 9, 10, time.UTC)
	for text, want := range map[string]Line{
		"2024-05-06T07:08:09.000000010Z stdout F hello world": {Stream: "stdout", Time: when, Text: []byte("hello world")},
		"2024-05-06T07:08:09.000000010Z stderr P ":            {Stream: "stderr", Time: when, Text: []byte(""), Partial: true},
		"2024-05-06T07:08:09.000000010Z stderr F  two":        {Stream: "stderr", Time: when, Text: []byte(" two")},
	} {
		got, ok := parseLogLine([]byte(text))
		if !ok || got.Stream != want.Stream || !got.Time.Equal(want.Time) || !bytes.Equal(got.Text, want.Text) || got.Partial != want.Partial {
			t.Errorf("%q: %+v %t", text, got, ok)
		}
	}
	for _, text := range []string{"", "x", "2024-05-06T07:08:09Z", "2024-05-06T07:08:09Z stdout", "2024-05-06T07:08:09Z stdout F", "yesterday stdout F x"} {
		if got, ok := parseLogLine([]byte(text)); ok {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// Whatever was written is read again.
func FuzzParseLogLine(f *testing.F) {
	f.Add("hello", "2024-05-06T07:08:09.000000010Z stdout F hello")
	f.Add("", " F ")
	f.Add("\x00 \xff", "2024-05-06T07:08:09Z  P ")
	f.Fuzz(func(t *testing.T, text, line string) {
		parseLogLine([]byte(line))
		if strings.Contains(text, "\n") || text == "" {
			return
		}
		var buffer bytes.Buffer
		fmt.Fprintf(&buffer, "%s stdout F %s", time.Now().UTC().Format(timeLayout), text)
		got, ok := parseLogLine(buffer.Bytes())
		if !ok || string(got.Text) != text || got.Partial || got.Stream != "stdout" {
			t.Errorf("%q becomes %+v %t", text, got, ok)
		}
	})
}

// What is torn off in the middle of a line is read when its rest is there.
func TestReadTorn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	if err := os.WriteFile(path, []byte("2024-05-06T07:08:09Z stdout F he"), 0o644); err != nil {
		t.Fatal(err)
	}
	var got []string
	keep := func(l Line) { got = append(got, l.Container+" "+string(l.Text)) }
	l := &logReader{container: "a", path: path}
	defer l.close()
	if err := l.begin(-1, keep); err != nil || len(got) != 0 {
		t.Fatal(err, got)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	io.WriteString(f, "llo\nrubbish\n2024-05-06T07:08:09Z stderr F x\n")
	if err := l.more(keep); err != nil || !slices.Equal(got, []string{"a hello", "a x"}) {
		t.Errorf("%v %q", err, got)
	}
}

func TestOpenLogError(t *testing.T) {
	if _, err := openLog(filepath.Join(t.TempDir(), "gone", "a.log"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
