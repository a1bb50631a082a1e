package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/urfave/cli/v2"
)

// completionFlag, as the last word, asks for what the word before it may be
// completed to.
const completionFlag = "--generate-bash-completion"

func (p *peapod) completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print a script that completes commands in a shell",
		ArgsUsage: "bash|zsh|fish",
		Description: `Commands, options, container ids and the names of pods are completed.

Example: source <(peapod completion bash)`,
		Action: func(c *cli.Context) error {
			if err := needArgs(c, 1, 1); err != nil {
				return err
			}
			script, ok := completionScripts[c.Args().First()]
			if !ok {
				return fmt.Errorf("completion for %q: there are bash, zsh and fish", c.Args().First())
			}
			_, err := fmt.Fprint(p.stdout, script)
			return err
		},
	}
}

var completionScripts = map[string]string{
	"bash": `_peapod() {
    local words
    words=$("${COMP_WORDS[@]:0:COMP_CWORD}" "${COMP_WORDS[COMP_CWORD]}" ` + completionFlag + ` 2>/dev/null)
    COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _peapod peapod
`,
	"zsh": `#compdef peapod
_peapod() {
    local -a list
    list=("${(@f)$("${(@)words[1,CURRENT]}" ` + completionFlag + ` 2>/dev/null)}")
    if [[ -n "${list[1]}" ]]; then
        compadd -a list
    else
        _files
    fi
}
compdef _peapod peapod
`,
	"fish": `function __peapod_complete
    set -l words (commandline -opc) (commandline -ct)
    $words ` + completionFlag + ` 2>/dev/null
end
complete -c peapod -a '(__peapod_complete)'
`,
}

// complete returns what the last of words may be. Nothing means: a file.
func (p *peapod) complete(words []string) []string {
	if len(words) == 0 {
		words = []string{""}
	}
	app := p.app("")
	commands, flags := app.Commands, app.Flags
	before, last := words[:len(words)-1], words[len(words)-1]
	var path []string
	for {
		if root := valueOf(before, "--root"); root != "" && len(path) == 0 {
			p.root = root
		}
		n := skipFlags(flags, before)
		if n > 0 && n == len(before) && wantsValue(flags, before[n-1]) {
			return nil
		}
		before = before[n:]
		if len(before) == 0 {
			return starting(last, completions(commands, flags, last))
		}
		c := find(commands, before[0])
		if c == nil {
			return nil
		}
		path, before = append(path, c.Name), before[1:]
		commands, flags = c.Subcommands, c.Flags
		if len(commands) == 0 {
			return starting(last, p.leafCompletions(path, c, before, last))
		}
	}
}

func valueOf(words []string, flag string) string {
	for i, w := range words {
		if v, ok := strings.CutPrefix(w, flag+"="); ok {
			return v
		}
		if w == flag && i+1 < len(words) {
			return words[i+1]
		}
	}
	return ""
}

// completions are the options when last begins like one, else the commands.
func completions(commands []*cli.Command, flags []cli.Flag, last string) (list []string) {
	if strings.HasPrefix(last, "-") {
		return flagNames(flags)
	}
	for _, c := range commands {
		if !c.Hidden {
			list = append(list, c.Name)
		}
	}
	return list
}

func flagNames(flags []cli.Flag) []string {
	list := []string{"--help"}
	for _, f := range flags {
		if v, ok := f.(cli.VisibleFlag); ok && v.IsVisible() {
			list = append(list, dashed(f.Names()[0]))
		}
	}
	return list
}

// leafCompletions are those behind a command that has no others below it.
func (p *peapod) leafCompletions(path []string, c *cli.Command, before []string, last string) []string {
	given := 0
	for len(before) > 0 {
		_, n := option(c.Flags, before)
		if n == 1 && len(before) == 1 && wantsValue(c.Flags, before[0]) {
			return nil // an option's value
		}
		if n == 0 {
			given, n = given+1, 1
		}
		before = before[n:]
	}
	leading, stops := verbatim[strings.Join(path, " ")]
	switch {
	case stops && given >= leading:
		return nil // a command in the container
	case strings.HasPrefix(last, "-"):
		return flagNames(c.Flags)
	case given > 0:
		return nil
	}
	return p.arguments(path, c)
}

// arguments are the names that a command takes: ids, pods, shells.
func (p *peapod) arguments(path []string, c *cli.Command) []string {
	switch argument, _, _ := strings.Cut(c.ArgsUsage, " "); {
	case c.Name == "completion":
		return []string{"bash", "zsh", "fish"}
	case argument == "ID" && c.Name != "create" && c.Name != "run":
		return p.registered("containers")
	case strings.HasPrefix(argument, "POD"):
		return p.registered("pods")
	}
	return nil
}

// registered lists the containers or pods by the names of their directories:
// nobody else can read more of them.
func (p *peapod) registered(kind string) (names []string) {
	root := p.root
	if root == "" {
		root = p.defaultRoot()
	}
	entries, _ := os.ReadDir(filepath.Join(root, kind))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
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
