package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/peapod/peapod/internal/nearest"
	"github.com/urfave/cli/v2"
)

// needArgs checks the number of arguments; most below 0 is any.
func needArgs(c *cli.Context, least, most int) error {
	n := c.NArg()
	if n >= least && (most < 0 || n <= most) {
		return nil
	}
	if most == 0 {
		return fmt.Errorf("%s takes no argument, got %q", commandName(c.Command.HelpName), c.Args().First())
	}
	problem := "an argument is missing"
	if n > least {
		problem = fmt.Sprintf("there are %d arguments", n)
	}
	return fmt.Errorf("%s: %s; usage: %s %s", commandName(c.Command.HelpName), problem, c.Command.HelpName, usageOf(c.Command))
}

func usageOf(c *cli.Command) string {
	for _, f := range c.Flags {
		if f != cli.HelpFlag {
			return "[options] " + c.ArgsUsage
		}
	}
	return c.ArgsUsage
}

// elsewhere are commands of runc's, docker's and kubectl's, by what does the
// same here; "" is nothing yet.
var elsewhere = map[string]string{
	"pause": "", "resume": "", "update": "", "events": "", "checkpoint": "", "restore": "", "features": "",
	"version":  "--version",
	"pod list": "ps", "pod ls": "ps", "pod get": "ps", "pod delete": "rm", "pod describe": "inspect", "pod kill": "stop",
}

func unknownCommand(path []string, name string, commands []*cli.Command) error {
	where := strings.Join(append([]string{"peapod"}, path...), " ")
	full := strings.Join(append(path[:len(path):len(path)], name), " ")
	instead, known := elsewhere[full]
	if known && instead == "" {
		return fmt.Errorf("runc's %q is not supported yet (%s --help lists what is)", name, where)
	}
	hint := fmt.Sprintf(": did you mean %s?", instead)
	if !known {
		var names []string
		for _, c := range commands {
			if !c.Hidden {
				names = append(names, c.Name)
			}
		}
		hint = didYouMean(name, "", names)
	}
	return fmt.Errorf("there is no command %q%s (%s --help lists them)", full, hint, where)
}

// usageError says what is wrong with the options in one line.
func usageError(c *cli.Context, err error, _ bool) error {
	where, flags := "peapod", c.App.Flags
	if c.Command != nil && c.Command.HelpName != "" {
		where, flags = c.Command.HelpName, c.Command.Flags
	}
	if name, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); unknown {
		return unknownOption(where, name, flags)
	}
	if value, name, ok := invalidValue(err); ok {
		return fmt.Errorf("%s: %s %s: give %s", commandName(where), dashed(name), value, expected(findFlag(flags, name)))
	}
	if name, ok := strings.CutPrefix(err.Error(), "flag needs an argument: -"); ok {
		name = strings.TrimLeft(name, "-")
		return fmt.Errorf("%s: %s: a value is missing: give %s", commandName(where), dashed(name), expected(findFlag(flags, name)))
	}
	return fmt.Errorf("%s: %w (%s --help lists the options)", commandName(where), err, where)
}

// invalidValue takes the flag package's words apart:
// invalid value "x" for flag -tail: parse error.
func invalidValue(err error) (value, name string, ok bool) {
	text := err.Error()
	for _, start := range []string{"invalid value ", "invalid boolean value "} {
		rest, begins := strings.CutPrefix(text, start)
		if !begins {
			continue
		}
		if value, err := strconv.QuotedPrefix(rest); err == nil {
			_, name, _ = strings.Cut(rest[len(value):], " -")
			name, _, _ = strings.Cut(strings.TrimLeft(name, "-"), ":")
			return value, name, name != ""
		}
	}
	return "", "", false
}

// expected is what an option wants.
func expected(f cli.Flag) string {
	switch f := f.(type) {
	case *cli.IntFlag:
		return "a whole number"
	case *cli.Float64Flag:
		return "a number"
	case *cli.BoolFlag:
		return "true, false or no value"
	case cli.DocGenerationFlag:
		if _, rest, ok := strings.Cut(f.GetUsage(), "`"); ok {
			name, _, _ := strings.Cut(rest, "`")
			return name
		}
	}
	return "a value"
}

func unknownOption(where, name string, flags []cli.Flag) error {
	var names []string
	for _, f := range flags {
		if v, ok := f.(cli.VisibleFlag); ok && v.IsVisible() && len(name) > 1 {
			names = append(names, f.Names()[0])
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
