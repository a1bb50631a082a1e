package cli

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Context is a command line that was understood.
type Context struct {
	Context context.Context
	// Command is the one to do, Path the names that lead to it from the
	// program, which is not among them.
	Command *Command
	Path    []string
	// Help is set when the help text of Command is asked for.
	Help bool
	// Wanted is, for completion alone, the option whose value comes next, or nil.
	Wanted *Flag

	root     *Command
	settings []setting
	args     Args
}

// setting is an option that was given.
type setting struct {
	flag  *Flag
	value string
}

// Args are the arguments of a command.
type Args []string

// First is the first argument, or "".
func (a Args) First() string { return a.Get(0) }

// Get is the argument i, from 0 on, or "".
func (a Args) Get(i int) string {
	if i >= len(a) {
		return ""
	}
	return a[i]
}

// Tail are those behind the first.
func (a Args) Tail() []string {
	if len(a) < 2 {
		return nil
	}
	return a[1:]
}

// Parse takes the command line args of the program root apart, without the
// program's own name. It does nothing but that.
func Parse(root *Command, args []string) (*Context, error) {
	c := &Context{Context: context.Background(), root: root, Command: root}
	for len(args) > 0 && !c.Help {
		n, err := c.option(args)
		if err != nil {
			return c, err
		}
		if n > 0 {
			args = args[n:]
			continue
		}
		if c.Command == root && args[0] == "help" {
			// `help X` is `X --help`; what follows X says nothing more.
			c.Help = true
			return c, c.descend(args[1:])
		}
		if err := c.enter(args[0]); err != nil {
			return c, err
		}
		if args = args[1:]; len(c.Command.Commands) == 0 {
			return c, c.leaf(args)
		}
	}
	c.Help = c.Help || c.Command.Action == nil
	return c, nil
}

// enter goes on to a command of the group.
func (c *Context) enter(name string) error {
	sub := c.Command.Find(name)
	if sub == nil {
		return c.unknownCommand(name)
	}
	c.Command, c.Path = sub, append(c.Path, name)
	return nil
}

// descend goes on to the command that words begin with: "pod run".
func (c *Context) descend(words []string) error {
	for _, w := range words {
		if len(c.Command.Commands) == 0 || strings.HasPrefix(w, "-") || w == "help" && c.Command == c.root {
			break
		}
		if err := c.enter(w); err != nil {
			return err
		}
	}
	return nil
}

// leaf reads what follows the name of a command that is no group.
func (c *Context) leaf(args []string) error {
	for len(args) > 0 {
		verbatim := c.Command.Verbatim > 0 && len(c.args) == c.Command.Verbatim
		switch {
		case args[0] == "--":
			c.args = append(c.args, args[1:]...)
			return nil
		case verbatim && (!c.Command.Late || !isOption(args[0])):
			c.args = append(c.args, args...)
			return nil
		}
		n, err := c.option(args)
		if err != nil || c.Help {
			return err
		}
		if n == 0 {
			c.args, n = append(c.args, args[0]), 1
		}
		args = args[n:]
	}
	return nil
}

func isOption(word string) bool { return len(word) > 1 && word[0] == '-' && word != "--" }

// option reads the option at the beginning of args and returns how many words
// it has, 0 where an argument stands there.
func (c *Context) option(args []string) (n int, err error) {
	word := args[0]
	if !isOption(word) {
		return 0, nil
	}
	name, value, hasValue := strings.Cut(strings.TrimLeft(word, "-"), "=")
	f := c.Command.flag(name)
	if f == nil && !strings.HasPrefix(word, "--") && !hasValue {
		letters, last := c.Command.letters(name)
		for _, l := range letters {
			if err := c.set(l, "true"); err != nil {
				return 0, err
			}
		}
		f = last
	}
	switch {
	case f == nil:
		return 0, c.unknownOption(name)
	case hasValue:
		return 1, c.set(f, value)
	case f.Kind == Bool:
		return 1, c.set(f, "true")
	case len(args) == 1:
		return 0, fmt.Errorf("%s: %s: a value is missing: give %s", c.name(), dashed(f.Name), f.expected())
	}
	return 2, c.set(f, args[1])
}

// letters takes abc of -abc for -a -b -c, of which only the last may have a
// value, and returns that apart; nil where it does not fit.
func (c *Command) letters(word string) (list []*Flag, last *Flag) {
	for i := range len(word) {
		f := c.flag(word[i : i+1])
		switch {
		case f == nil || i < len(word)-1 && f.Kind != Bool:
			return nil, nil
		case i == len(word)-1:
			return list, f
		}
		list = append(list, f)
	}
	return nil, nil
}

// set notes an option, unless its value is not what it wants.
func (c *Context) set(f *Flag, value string) (err error) {
	switch f.Kind {
	case Bool:
		var on bool
		if on, err = strconv.ParseBool(value); err == nil && f == &helpFlag {
			c.Help = on
			return nil
		}
	case Int:
		_, err = strconv.Atoi(value)
	case Float:
		_, err = strconv.ParseFloat(value, 64)
	}
	if err != nil {
		return fmt.Errorf("%s: %s %q: give %s", c.name(), dashed(f.Name), value, f.expected())
	}
	c.settings = append(c.settings, setting{f, value})
	return nil
}

// text is the value of an option: the one given last, that of its variable, or
// the one that it has otherwise. The program has to know the option.
func (c *Context) text(name string) string {
	f := c.Command.flag(name)
	if f == nil {
		f = c.root.flag(name)
	}
	for i := len(c.settings) - 1; i >= 0; i-- {
		if c.settings[i].flag == f {
			return c.settings[i].value
		}
	}
	if f.Env != "" {
		if v := os.Getenv(f.Env); v != "" {
			return v
		}
	}
	return f.Value
}

// IsSet tells whether an option was given.
func (c *Context) IsSet(name string) bool {
	for _, s := range c.settings {
		if s.flag.Name == name {
			return true
		}
	}
	return false
}

// String is the value of an option.
func (c *Context) String(name string) string { return c.text(name) }

// Bool is that of an option of the kind Bool.
func (c *Context) Bool(name string) bool {
	on, _ := strconv.ParseBool(c.text(name))
	return on
}

// Int is that of an option of the kind Int.
func (c *Context) Int(name string) int {
	n, _ := strconv.Atoi(c.text(name))
	return n
}

// Float is that of an option of the kind Float.
func (c *Context) Float(name string) float64 {
	f, _ := strconv.ParseFloat(c.text(name), 64)
	return f
}

// Strings are the values of an option of the kind Strings.
func (c *Context) Strings(name string) (list []string) {
	for _, s := range c.settings {
		if s.flag.Name == name {
			list = append(list, s.value)
		}
	}
	return list
}

// Args are the arguments.
func (c *Context) Args() Args { return c.args }

// NArg is their number.
func (c *Context) NArg() int { return len(c.args) }

// NeedArgs checks the number of arguments; most below 0 is any.
func (c *Context) NeedArgs(least, most int) error {
	n := c.NArg()
	switch {
	case n >= least && (most < 0 || n <= most):
		return nil
	case most == 0:
		return fmt.Errorf("%s takes no argument, got %q", c.name(), c.args[0])
	case n > least:
		return fmt.Errorf("%s: there are %d arguments; usage: %s", c.name(), n, c.usage())
	}
	return fmt.Errorf("%s: an argument is missing; usage: %s", c.name(), c.usage())
}

// fullName is the command with the program's name before it, name without, as
// errors begin.
func (c *Context) fullName() string {
	return strings.Join(append([]string{c.root.Name}, c.Path...), " ")
}

func (c *Context) name() string {
	if len(c.Path) == 0 {
		return c.root.Name
	}
	return strings.Join(c.Path, " ")
}
