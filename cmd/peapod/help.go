package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// The layout of the help texts. Descriptions end with an example. The library
// sorts the categories by name, which would put Other between the two others.
const appHelp = `{{.Name}}: {{.Usage}}

Usage: {{.UsageText}}

{{.Description}}
{{range .VisibleCategories}}{{if ne .Name "Other"}}{{template "category" .}}{{end}}{{end -}}
{{range .VisibleCategories}}{{if eq .Name "Other"}}{{template "category" .}}{{end}}{{end}}
Global options:{{range .VisibleFlags}}
  {{.}}{{end}}
{{define "category"}}
{{.Name}}:{{range .VisibleCommands}}
  {{printf "%-11s" .Name}} {{.Usage}}{{end}}
{{end}}`

const commandHelp = `{{.HelpName}}: {{.Usage}}

Usage: {{.HelpName}}{{if .VisibleCommands}} COMMAND{{end}}{{if .VisibleFlags}} [options]{{end}}{{if .ArgsUsage}} {{.ArgsUsage}}{{end}}
{{if .Description}}
{{.Description}}
{{end}}{{if .VisibleCommands}}
Commands:{{range .VisibleCommands}}
  {{printf "%-11s" .Name}} {{.Usage}}{{end}}
{{end}}{{if .VisibleFlags}}
Options:{{range .VisibleFlags}}
  {{.}}{{end}}
{{end}}`

// init sets how help texts show an option: the library has a global variable
// for it.
func init() { cli.FlagStringer = flagLine }

// flagLine is the line of an option, its columns parted by a tab.
func flagLine(f cli.Flag) string {
	doc, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return ""
	}
	value, usage := "", doc.GetUsage()
	if before, rest, ok := strings.Cut(usage, "`"); ok {
		name, after, _ := strings.Cut(rest, "`")
		value, usage = " "+name, before+name+after
	}
	var names []string
	for _, n := range f.Names() {
		names = append(names, dashed(n))
	}
	slices.Reverse(names)
	line := strings.Join(names, ", ") + value
	if len(names) == 1 && strings.HasPrefix(line, "--") {
		line = "    " + line
	}
	if text := doc.GetDefaultText(); doc.TakesValue() && text != "" && text != `""` && text != "0" {
		usage += " (default: " + strings.Trim(text, `"`) + ")"
	}
	if vars := doc.GetEnvVars(); len(vars) > 0 {
		usage += " [$" + strings.Join(vars, ", $") + "]"
	}
	return line + "\t" + usage
}
