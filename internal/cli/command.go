// Package cli parses command lines with commands in groups, as git and kubectl
// have them, and writes their help texts.
//
// It does what the larger libraries do not, and costs a start nothing:
//
//   - options and arguments come in any order, as with GNU's getopt, in runc's
//     forms too: -b DIR, -b=DIR, -bundle DIR, --bundle DIR, --bundle=DIR, -it;
//   - what follows a command's arguments may be a command of the user's, with
//     options of its own, that is left as it is;
//   - each mistake is an error that says what was expected, or meant.
//
// A container starts in 3 ms. The libraries that were looked at take 0.2 to
// 0.5 ms of each start to initialize themselves, templates and regular
// expressions.
package cli

import (
	"slices"
	"strings"
)

// Command is a command, a group of commands, or the whole program.
type Command struct {
	Name string
	// Usage is what it does, in some words: "list the containers".
	Usage string
	// ArgsUsage names the arguments: "ID [SIGNAL]".
	ArgsUsage string
	// Description follows the usage in the help text and ends with an example.
	Description string
	// Category is the heading that it stands below in the help of its group;
	// those of one category stand together.
	Category string
	Hidden   bool
	Flags    []Flag

	// Commands make it a group.
	Commands []*Command
	// Elsewhere are names that others have for commands of this group, and
	// what to do here: "ps". "" is nothing yet.
	Elsewhere map[string]string

	// Verbatim, when not 0, is the number of arguments behind which a command
	// of the user's begins.
	Verbatim int
	// Late lets options stand between those arguments and the user's command.
	Late bool
	// Action does it. A group without one shows its help.
	Action func(*Context) error
}

// Kind is what an option's value is.
type Kind int

// The kinds of options. Only those of the kind Strings may be repeated; of
// others the last one counts.
const (
	Bool Kind = iota
	String
	Strings
	Int
	Float
)

// Flag is an option.
type Flag struct {
	Kind Kind
	// Name without dashes, and Short, which is one letter or "".
	Name, Short string
	// Aliases are names that others have for it, without dashes.
	Aliases []string
	// Usage says what it does; what is in `backquotes` there names the value.
	Usage string
	// Value is that of an option which is not given, written as it would be
	// given; "" is false, 0, nothing.
	Value string
	// DefaultText stands in the help text in place of Value.
	DefaultText string
	// Env is the environment variable that has the value where the option is
	// not given.
	Env string
	// Choices are what the value may be, for completion.
	Choices []string
	Hidden  bool
}

// dashed is an option's name as it is written.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// metavar is the name of the option's value, and the usage without quotes.
func (f *Flag) metavar() (name, usage string) {
	before, rest, ok := strings.Cut(f.Usage, "`")
	if !ok {
		return "", f.Usage
	}
	name, after, _ := strings.Cut(rest, "`")
	return name, before + name + after
}

// expected is what the option wants.
func (f *Flag) expected() string {
	switch f.Kind {
	case Int:
		return "a whole number"
	case Float:
		return "a number"
	case Bool:
		return "true, false or no value"
	}
	if name, _ := f.metavar(); name != "" {
		return name
	}
	return "a value"
}

func (c *Command) flag(name string) *Flag {
	for i := range c.Flags {
		if f := &c.Flags[i]; f.Name == name || f.Short == name && name != "" || slices.Contains(f.Aliases, name) {
			return f
		}
	}
	if name == helpFlag.Name || name == helpFlag.Short {
		return &helpFlag
	}
	return nil
}

// Find returns the command of the group that is called name, or nil.
func (c *Command) Find(name string) *Command {
	for _, sub := range c.Commands {
		if sub.Name == name {
			return sub
		}
	}
	return nil
}

// helpFlag is one that all commands have.
var helpFlag = Flag{Name: "help", Short: "h", Usage: "show help"}
