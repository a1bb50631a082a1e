package cli

import (
	"sort"
	"strings"
)

// Complete returns what the last of words may be completed to; nothing means a
// file's name. arguments are the names that a command takes as its next argument,
// behind those that c has, or as the value of the option c.Wanted.
func Complete(root *Command, words []string, arguments func(*Context) []string) []string {
	if len(words) == 0 {
		words = []string{""}
	}
	before, last := words[:len(words)-1], words[len(words)-1]
	c := &Context{root: root, Command: root}
	for len(before) > 0 {
		if before[0] == "--" {
			return nil
		}
		if c.Command.Verbatim > 0 && len(c.args) >= c.Command.Verbatim && !(c.Command.Late && isOption(before[0])) {
			return nil // a command of the user's
		}
		n, err := c.option(before)
		switch {
		case err != nil && len(before) == 1 && c.Command.wanting(before[0]) != nil:
			if c.Wanted = c.Command.wanting(before[0]); len(c.Wanted.Choices) == 0 {
				return starting(last, arguments(c))
			}
			return starting(last, c.Wanted.Choices)
		case err != nil:
			n = 1 // a mistake, complained about when the line is done
		case n > 0:
		case len(c.Command.Commands) > 0:
			if c.enter(before[0]) != nil {
				return nil
			}
			n = 1
		default:
			c.args, n = append(c.args, before[0]), 1
		}
		before = before[n:]
	}
	return starting(last, c.next(last, arguments))
}

// wanting is the option whose value the next word would be, or nil.
func (c *Command) wanting(word string) *Flag {
	if !isOption(word) || strings.Contains(word, "=") {
		return nil
	}
	name := strings.TrimLeft(word, "-")
	f := c.flag(name)
	if f == nil && !strings.HasPrefix(word, "--") {
		_, f = c.letters(name)
	}
	if f == nil || f.Kind == Bool {
		return nil
	}
	return f
}

// next are the words that may follow.
func (c *Context) next(last string, arguments func(*Context) []string) []string {
	switch {
	case c.Command.Verbatim > 0 && len(c.args) >= c.Command.Verbatim && !(c.Command.Late && strings.HasPrefix(last, "-")):
		return nil
	case strings.HasPrefix(last, "-"):
		list := []string{dashed(helpFlag.Name)}
		for i := range c.Command.Flags {
			if f := &c.Command.Flags[i]; !f.Hidden {
				list = append(list, dashed(f.Name))
			}
		}
		return list
	case len(c.Command.Commands) > 0:
		return c.Command.visible()
	}
	return arguments(c)
}

func starting(prefix string, list []string) (matching []string) {
	for _, s := range list {
		if strings.HasPrefix(s, prefix) {
			matching = append(matching, s)
		}
	}
	sort.Strings(matching)
	return matching
}
