package main

import (
	"fmt"

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
		Description: `Commands, options, container ids, names of pods, of their containers, of
Deployments and of services are completed. For good, add it to ~/.bashrc; for zsh
source it in ~/.zshrc behind compinit; for fish write it to
~/.config/fish/completions/peapod.fish.

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
    set -l list ($words ` + completionFlag + ` 2>/dev/null)
    if test (count $list) -gt 0
        printf '%s\n' $list
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c peapod -f -a '(__peapod_complete)'
`,
}

// complete returns what the last of words may be. Nothing means: a file.
func (p *peapod) complete(words []string) []string {
	return cli.Complete(p.program(), words, p.arguments)
}
