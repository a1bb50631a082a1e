package cli

import (
	"fmt"
	"strings"

	"github.com/peapod/peapod/internal/nearest"
)

func (c *Context) unknownOption(name string) error {
	var names []string
	for i := range c.Command.Flags {
		if f := &c.Command.Flags[i]; !f.Hidden && len(name) > 1 {
			names = append(names, f.Name)
		}
	}
	if len(c.Path) == 0 {
		return fmt.Errorf("there is no option %s%s (%s --help lists them)", dashed(name), didYouMean(name, "--", names), c.fullName())
	}
	return fmt.Errorf("%s: there is no option %s%s (%s --help lists them)", c.name(), dashed(name), didYouMean(name, "--", names), c.fullName())
}

func (c *Context) unknownCommand(name string) error {
	full := strings.Join(append(c.Path[:len(c.Path):len(c.Path)], name), " ")
	instead, known := c.Command.Elsewhere[name]
	switch {
	case known && instead == "":
		return fmt.Errorf("runc's %q is not supported yet (%s --help lists what is)", name, c.fullName())
	case known:
		return fmt.Errorf("there is no command %q: did you mean %s? (%s --help lists them)", full, instead, c.fullName())
	}
	return fmt.Errorf("there is no command %q%s (%s --help lists them)", full, didYouMean(name, "", c.Command.visible()), c.fullName())
}

// visible are the names of a group's commands.
func (c *Command) visible() (names []string) {
	for _, sub := range c.Commands {
		if !sub.Hidden {
			names = append(names, sub.Name)
		}
	}
	return names
}

func didYouMean(name, dashes string, names []string) string {
	if near := nearest.Name(name, names); near != "" {
		return fmt.Sprintf(": did you mean %s%s?", dashes, near)
	}
	return ""
}
