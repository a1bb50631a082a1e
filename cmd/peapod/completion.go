package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/peapod/peapod/internal/cli"
)

// completionFlag, as the last word, asks for what the word before it may be
// completed to.
const completionFlag = "--generate-bash-completion"

func (p *peapod) completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print a script that completes commands in a shell",
		ArgsUsage: "bash|zsh|fish",
		Description: `Commands, options, container ids, names of pods and of services are completed.

Example: source <(peapod completion bash)`,
		Action: func(c *cli.Context) error {
			if err := c.NeedArgs(1, 1); err != nil {
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
	return cli.Complete(p.program(), words, p.arguments)
}

// arguments are the names that a command takes next: ids, pods, shells, signals.
func (p *peapod) arguments(c *cli.Context) []string {
	p.root = c.String("root")
	switch {
	case c.NArg() == 1 && c.Command.Name == "kill":
		return signalNames()
	case c.NArg() > 0:
		return nil
	}
	switch argument, _, _ := strings.Cut(c.Command.ArgsUsage, " "); {
	case c.Command.Name == "completion":
		return []string{"bash", "zsh", "fish"}
	case argument == "ID" && c.Command.Name != "create" && c.Command.Name != "run":
		return p.registered("containers")
	case strings.HasPrefix(argument, "POD"):
		return p.registered("pods")
	case strings.HasPrefix(strings.TrimPrefix(argument, "["), "SERVICE"):
		return p.registered("services")
	}
	return nil
}

// registered lists containers, pods or services by the names of their directories:
// nobody else can read more of them.
func (p *peapod) registered(kind string) (names []string) {
	entries, _ := os.ReadDir(filepath.Join(p.root, kind))
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") { // about to come or to go
			names = append(names, e.Name())
		}
	}
	return names
}
