package cli

import (
	"fmt"
	"io"
	"strings"
)

// WriteHelp writes the help text of c's command.
func (c *Context) WriteHelp(w io.Writer) error {
	var b strings.Builder
	cmd := c.Command
	fmt.Fprintf(&b, "%s: %s\n\nUsage: %s\n", c.fullName(), cmd.Usage, c.usage())
	if cmd.Description != "" {
		fmt.Fprintf(&b, "\n%s\n", cmd.Description)
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
		fmt.Fprintf(&b, "  %-11s %s\n", sub.Name, sub.Usage)
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
	for _, l := range lines {
		fmt.Fprintf(b, "  %-*s  %s\n", width, l[0], l[1])
	}
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
