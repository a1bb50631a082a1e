package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"
)

// openLog makes p.log write to the file of --log. Engines read its JSON format
// to learn why something failed: {"level":"error","msg":"…","time":"…"}. Without
// a file that goes to the standard error, as runc has it.
func (p *peapod) openLog(path, format string, debug bool) error {
	level := slog.LevelWarn
	if debug {
		level = slog.LevelDebug
	}
	if format != "text" && format != "json" {
		return fmt.Errorf("--log-format %q: give text or json", format)
	}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: asLogrus}
	if path == "" {
		p.log = slog.New(&terseHandler{w: p.stderr, level: level})
		if p.machine = format == "json"; p.machine {
			p.log = slog.New(slog.NewJSONHandler(p.stderr, options))
		}
		return nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("--log: %w", err)
	}
	p.logFile = f
	if format == "json" {
		p.log = slog.New(slog.NewJSONHandler(f, options))
	} else {
		p.log = slog.New(slog.NewTextHandler(f, options))
	}
	return nil
}

// asLogrus gives levels and times the form that runc's logger has.
func asLogrus(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	switch a.Key {
	case slog.LevelKey:
		return slog.String(a.Key, levelName(a.Value.Any().(slog.Level)))
	case slog.TimeKey:
		return slog.String(a.Key, a.Value.Time().Format(time.RFC3339))
	}
	return a
}

func levelName(l slog.Level) string {
	if l == slog.LevelWarn {
		return "warning"
	}
	return strings.ToLower(l.String())
}

// terseHandler writes lines for people: "peapod: warning: what (key value)".
type terseHandler struct {
	w     io.Writer
	level slog.Level
	attrs []slog.Attr
}

func (h *terseHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

func (h *terseHandler) Handle(_ context.Context, r slog.Record) error {
	var notes []string
	add := func(a slog.Attr) bool {
		notes = append(notes, a.Key+" "+a.Value.String())
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	line := fmt.Sprintf("peapod: %s: %s", levelName(r.Level), r.Message)
	if len(notes) > 0 {
		line += " (" + strings.Join(notes, ", ") + ")"
	}
	_, err := io.WriteString(h.w, line+"\n")
	return err
}

func (h *terseHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.attrs = append(c.attrs[:len(c.attrs):len(c.attrs)], attrs...)
	return &c
}

func (h *terseHandler) WithGroup(string) slog.Handler { return h }
