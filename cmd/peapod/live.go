package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/peapod/peapod/internal/cli"
)

// live shows a view again and again: on a screen, as text below text, or as JSON.
type live struct {
	p          *peapod
	interval   time.Duration
	once, json bool
	screen     *screen // nil where there is no terminal to draw on
	began      bool    // something was printed
}

// newLive reads the options of the commands that show something live.
func (p *peapod) newLive(c *cli.Context) (*live, error) {
	format := c.String("output")
	l := &live{p: p, interval: time.Duration(c.Float("interval") * float64(time.Second)), once: c.Bool("no-stream"), json: format == "json"}
	switch {
	case format != "table" && format != "json":
		return nil, fmt.Errorf("--output %q: give table or json", format)
	case !(l.interval >= 100*time.Millisecond && l.interval <= time.Hour):
		return nil, fmt.Errorf("--interval %v: give 0.1 to 3600 seconds", c.Float("interval"))
	}
	return l, nil
}

// open takes the terminal, if there is one; close gives it back.
func (l *live) open() {
	if !l.once && !l.json {
		l.screen = newScreen(l.p.stdout)
	}
}

func (l *live) close() { l.screen.close() }

// show shows a view, of which lines is the table.
func (l *live) show(view any, lines func() []string) error {
	if l.json {
		e := json.NewEncoder(l.p.stdout)
		if l.once {
			e.SetIndent("", "  ")
		}
		return e.Encode(view)
	}
	if l.screen != nil {
		return l.screen.draw(lines())
	}
	text := strings.Join(lines(), "\n") + "\n"
	if l.began {
		text = "\n" + text
	}
	l.began = true
	_, err := l.p.stdout.WriteString(text)
	return err
}
