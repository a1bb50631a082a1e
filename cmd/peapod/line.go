package main

import (
	"strings"

	"github.com/urfave/cli/v2"
)

// verbatim commands end with a command of the user's, which has options of its
// own. The number is how many arguments come before it. Behind the pod of `pod
// exec` there may still be options of peapod's, as with kubectl; runc's
// commands end theirs at the id.
var verbatim = map[string]int{"exec": 1, "ps": 1, "pod exec": 1}

// arrange puts options before arguments, which is the only order that the flag
// package knows, so that `delete ID --force` works as it does with runc. What a
// verbatim command ends with stays as it is. It returns the names of the
// command too. An unknown command is an error.
func arrange(app *cli.App, args []string) (line, path []string, err error) {
	commands, flags := app.Commands, app.Flags
	for {
		for len(args) > 0 {
			words, n := option(flags, args)
			if n == 0 {
				break
			}
			name, _, _ := strings.Cut(strings.TrimLeft(words[0], "-"), "=")
			if findFlag(flags, name) == nil && name != "help" && name != "h" {
				// What follows it may be its value, or the command.
				return line, path, unknownOption(strings.Join(append([]string{"peapod"}, path...), " "), name, flags)
			}
			line, args = append(line, words...), args[n:]
		}
		if len(args) == 0 {
			return line, path, nil
		}
		name := args[0]
		if name == "help" && len(path) == 0 {
			// `help X` is `X --help`; what follows X says nothing more.
			path, err := commandPath(commands, args[1:])
			return append(append(line, path...), "--help"), path, err
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

// commandPath is the name of the command that words begin with: "pod run".
func commandPath(commands []*cli.Command, words []string) (path []string, err error) {
	for len(words) > 0 && len(commands) > 0 && !strings.HasPrefix(words[0], "-") {
		if words[0] == "help" && len(path) == 0 {
			break
		}
		c := find(commands, words[0])
		if c == nil {
			return path, unknownCommand(path, words[0], commands)
		}
		path, commands, words = append(path, c.Name), c.Subcommands, words[1:]
	}
	return path, nil
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
		switch words, n := option(c.Flags, args); {
		case args[0] == "--":
			rest = append(rest, args[1:]...)
			args = nil
		case stops && len(rest) == leading && (n == 0 || path != "pod exec"):
			rest = append(rest, args...)
			args = nil
		case n == 0:
			rest, args = append(rest, args[0]), args[1:]
		case len(args) == 1 && wantsValue(c.Flags, args[0]):
			// Without its value: -- behind it would be taken for that.
			return append(options, words...)
		default:
			options, args = append(options, words...), args[n:]
		}
	}
	return append(append(options, "--"), rest...)
}

// skipFlags counts the words before the first that is no option.
func skipFlags(flags []cli.Flag, args []string) (n int) {
	for n < len(args) {
		_, k := option(flags, args[n:])
		if k == 0 {
			break
		}
		n += k
	}
	return n
}

// option takes the option at the beginning of args apart, or returns 0 where
// an argument stands there, else how many words it has: 2 where its value is
// the second. The words returned have the option's first name, since the flag
// library refuses -e and --env in one line, and one option each for -it.
func option(flags []cli.Flag, args []string) (words []string, n int) {
	word := args[0]
	if len(word) < 2 || word[0] != '-' || word == "--" {
		return nil, 0
	}
	name, value, hasValue := strings.Cut(strings.TrimLeft(word, "-"), "=")
	f := findFlag(flags, name)
	if f == nil && !strings.HasPrefix(word, "--") && !hasValue {
		if letters, last := splitLetters(flags, name); last != nil {
			words, f = letters, last
		}
	}
	switch {
	case f == nil: // to be complained about later
		return []string{word}, 1
	case hasValue:
		return append(words, dashed(f.Names()[0])+"="+value), 1
	case len(args) > 1 && takesValue(f):
		return append(words, dashed(f.Names()[0]), args[1]), 2
	}
	return append(words, dashed(f.Names()[0])), 1
}

// splitLetters takes -abc for -a -b -c, of which only the last may have a
// value, and returns the last apart; nil where that does not fit.
func splitLetters(flags []cli.Flag, letters string) (words []string, last cli.Flag) {
	for i, r := range letters {
		f := findFlag(flags, string(r))
		if f == nil || i < len(letters)-1 && takesValue(f) {
			return nil, nil
		}
		if i == len(letters)-1 {
			return words, f
		}
		words = append(words, dashed(f.Names()[0]))
	}
	return nil, nil
}

func takesValue(f cli.Flag) bool {
	v, ok := f.(cli.DocGenerationFlag)
	return ok && v.TakesValue()
}

// wantsValue tells whether the last word of a line is an option whose value
// would be the next.
func wantsValue(flags []cli.Flag, word string) bool {
	if len(word) < 2 || word[0] != '-' || strings.Contains(word, "=") {
		return false
	}
	name := strings.TrimLeft(word, "-")
	f := findFlag(flags, name)
	if f == nil && !strings.HasPrefix(word, "--") {
		_, f = splitLetters(flags, name)
	}
	return f != nil && takesValue(f)
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

func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}
