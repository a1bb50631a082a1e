package main

import (
	"fmt"
	"strings"

	"github.com/peapod/peapod/internal/nearest"
	"github.com/urfave/cli/v2"
)

// verbatim commands end with a command of the user's, which has options of its
// own. The number is how many arguments come before it.
var verbatim = map[string]int{"exec": 1, "pod exec": 1}

// arrange puts options before arguments, which is the only order that the flag
// package knows, so that `delete ID --force` works as it does with runc. What a
// verbatim command ends with stays as it is. It returns the names of the
// command too. An unknown command is an error.
func arrange(app *cli.App, args []string) (line, path []string, err error) {
	commands, flags := app.Commands, app.Flags
	for {
		n := skipFlags(flags, args)
		line, args = append(line, args[:n]...), args[n:]
		if len(args) == 0 {
			return line, path, nil
		}
		name := args[0]
		if name == "help" && len(path) == 0 {
			// `help X` is `X --help`.
			line, path, err := arrange(app, args[1:])
			return append(line, "--help"), path, err
		}
		c := find(commands, name)
		if c == nil {
			return line, path, unknownCommand(path, name, commands)
		}
		line, path, args = append(line, c.Name), append(path, c.Name), args[1:]
		if len(c.Subcommands) == 0 {
			return append(line, arrangeLeaf(c, strings.Join(path, " "), args)...), path, nil
		}
		commands, flags = c.Subcommands, c.Flags
	}
}

func find(commands []*cli.Command, name string) *cli.Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

// arrangeLeaf orders what follows the name of the command c.
func arrangeLeaf(c *cli.Command, path string, args []string) []string {
	leading, stops := verbatim[path]
	var options, rest []string
	for len(args) > 0 {
		switch n := flagWords(c.Flags, args); {
		case args[0] == "--":
			rest = append(rest, args[1:]...)
			args = nil
		case stops && len(rest) == leading && (n == 0 || path == "exec"):
			rest = append(rest, args...)
			args = nil
		case n == 0:
			rest, args = append(rest, args[0]), args[1:]
		default:
			options, args = append(options, args[:n]...), args[n:]
		}
	}
	return append(append(options, "--"), rest...)
}

// skipFlags counts the words before the first that is no option.
func skipFlags(flags []cli.Flag, args []string) (n int) {
	for n < len(args) {
		k := flagWords(flags, args[n:])
		if k == 0 {
			break
		}
		n += k
	}
	return n
}

// flagWords counts the words that the option at args[0] consists of: 0 where
// that is an argument, 2 where the option's value is the word behind it.
func flagWords(flags []cli.Flag, args []string) int {
	word := args[0]
	if len(word) < 2 || word[0] != '-' || word == "--" {
		return 0
	}
	if !strings.Contains(word, "=") && len(args) > 1 && takesValue(flags, word) {
		return 2
	}
	return 1
}

// takesValue tells whether the option needs a value. Of several letters in one
// word (-it) the last may.
func takesValue(flags []cli.Flag, word string) bool {
	name := strings.TrimLeft(word, "-")
	f := findFlag(flags, name)
	if f == nil && !strings.HasPrefix(word, "--") {
		f = findFlag(flags, name[len(name)-1:])
	}
	value, ok := f.(cli.DocGenerationFlag)
	return ok && value.TakesValue()
}

func findFlag(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		for _, n := range f.Names() {
			if n == name {
				return f
			}
		}
	}
	return nil
}

func unknownCommand(path []string, name string, commands []*cli.Command) error {
	var names []string
	for _, c := range commands {
		if !c.Hidden {
			names = append(names, c.Name)
		}
	}
	where := strings.Join(append([]string{"peapod"}, path...), " ")
	return fmt.Errorf("there is no command %q%s (%s --help lists them)",
		strings.Join(append(path, name), " "), didYouMean(name, "", names), where)
}

// usageError says what is wrong with the options in one line.
func usageError(c *cli.Context, err error, _ bool) error {
	where := "peapod"
	flags := c.App.Flags
	if c.Command != nil && c.Command.HelpName != "" {
		where, flags = c.Command.HelpName, c.Command.Flags
	}
	name, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !unknown {
		return fmt.Errorf("%s: %w (%s --help lists the options)", commandName(where), err, where)
	}
	var names []string
	for _, f := range flags {
		if v, ok := f.(cli.VisibleFlag); ok && v.IsVisible() {
			names = append(names, f.Names()...)
		}
	}
	return fmt.Errorf("%s: there is no option %s%s (%s --help lists them)", commandName(where), dashed(name), didYouMean(name, "--", names), where)
}

// commandName is what an error begins with: "peapod: " comes before it.
func commandName(helpName string) string { return strings.TrimPrefix(helpName, "peapod ") }

func didYouMean(name, dashes string, names []string) string {
	if near := nearest.Name(name, names); near != "" {
		return fmt.Sprintf(": did you mean %s%s?", dashes, near)
	}
	return ""
}

func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}
