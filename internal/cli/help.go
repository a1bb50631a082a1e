package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// WriteHelp writes the help text of c's command.
func (c *Context) WriteHelp(w io.Writer) error {
	var b strings.Builder
	cmd := c.Command
	fmt.Fprintf(&b, "%s\n\nUsage: %s\n", wrap(c.fullName()+": "+cmd.Usage, 0, 2), wrap(c.usage(), 7, 7))
	if cmd.Description != "" {
		fmt.Fprintf(&b, "\n%s\n", fill(cmd.Description))
	}
	category := ""
	for i, sub := range cmd.Commands {
		if sub.Hidden {
			continue
		}
		if i == 0 || sub.Category != category {
			category = sub.Category
			fmt.Fprintf(&b, "\n%s:\n", heading(category))
		}
		fmt.Fprintf(&b, "  %-11s %s\n", sub.Name, wrap(sub.Usage, 14, 14))
	}
	options := "Options"
	if cmd == c.root {
		options = "Global options"
	}
	fmt.Fprintf(&b, "\n%s:\n", options)
	writeFlags(&b, cmd.Flags)
	_, err := io.WriteString(w, b.String())
	return err
}

func heading(category string) string {
	if category == "" {
		return "Commands"
	}
	return category
}

// usage is the form of a command line.
func (c *Context) usage() string {
	text := c.fullName()
	if c.Command == c.root {
		text += " [global options]"
	}
	if len(c.Command.Commands) > 0 {
		text += " COMMAND"
	}
	if len(c.Command.Flags) > 0 || len(c.Command.Commands) > 0 {
		text += " [options]"
	}
	if c.Command.ArgsUsage != "" {
		text += " " + c.Command.ArgsUsage
	}
	return text
}

func writeFlags(b *strings.Builder, flags []Flag) {
	var lines [][2]string
	width := 0
	for _, f := range append(flags[:len(flags):len(flags)], helpFlag) {
		if f.Hidden {
			continue
		}
		names, text := f.line()
		lines, width = append(lines, [2]string{names, text}), max(width, len(names))
	}
	width = min(width, maxNames)
	for _, l := range lines {
		text := wrap(l[1], width+4, width+4)
		if len(l[0]) > width {
			fmt.Fprintf(b, "  %s\n  %-*s  %s\n", l[0], width, "", text)
			continue
		}
		fmt.Fprintf(b, "  %-*s  %s\n", width, l[0], text)
	}
}

const (
	helpWidth = 80 // of a terminal, in columns
	maxNames  = 28 // columns for options; the text of longer ones begins below them
)

// fill wraps the paragraphs of a text, but for examples and what is indented.
func fill(text string) string {
	paragraphs := strings.Split(text, "\n\n")
	for i, p := range paragraphs {
		if !strings.HasPrefix(p, "Example:") && !strings.HasPrefix(p, " ") && !strings.Contains(p, "\n ") {
			paragraphs[i] = wrap(p, 0, 0)
		}
	}
	return strings.Join(paragraphs, "\n\n")
}

// wrap breaks text that begins in a column into lines of helpWidth, where it has
// spaces; those behind the first are indented.
func wrap(text string, column, indent int) string {
	var b strings.Builder
	for i, word := range strings.Fields(text) {
		switch n := utf8.RuneCountInString(word); {
		case i == 0:
			column += n
		case column+1+n > helpWidth:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent + n
		default:
			b.WriteByte(' ')
			column += 1 + n
		}
		b.WriteString(word)
	}
	return b.String()
}

// line is how an option is shown: its names with the value's, and what it does.
func (f *Flag) line() (names, text string) {
	value, text := f.metavar()
	names = "    " + dashed(f.Name)
	if f.Short != "" {
		names = dashed(f.Short) + ", " + dashed(f.Name)
	}
	if value != "" {
		names += " " + value
	}
	preset := f.DefaultText
	if preset == "" {
		preset = f.Value
	}
	if preset != "" && f.Kind != Bool {
		text += " (default: " + preset + ")"
	}
	if f.Env != "" {
		text += " [$" + f.Env + "]"
	}
	return names, text
}
