package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/peapod/peapod/internal/cli"
	"go.yaml.in/yaml/v3"
)

// listFormats are those of the commands that list objects, as kubectl has them.
var listFormats = []string{"table", "wide", "json", "yaml", "name"}

// outputFlag chooses among formats, of which the first is the usual one.
func outputFlag(formats ...string) cli.Flag {
	return cli.Flag{Kind: cli.String, Name: "output", Short: "o", Value: formats[0], Choices: formats, Usage: "`FORMAT` " + either(formats)}
}

// either is "a, b or c".
func either(list []string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:len(list)-1], ", ") + " or " + list[len(list)-1]
}

// output is the format that was chosen.
func output(c *cli.Context, formats ...string) (string, error) {
	format := c.String("output")
	if !slices.Contains(formats, format) {
		return "", fmt.Errorf("--output %q: give %s", format, either(formats))
	}
	return format, nil
}

// print writes v as JSON or YAML, with the fields in the order of their types.
func (p *peapod) print(v any, format string) error {
	if format == "json" {
		return p.printJSON(v)
	}
	text, err := toYAML(v)
	if err != nil {
		return err
	}
	_, err = p.stdout.Write(text)
	return err
}

func (p *peapod) printJSON(v any) error {
	e := json.NewEncoder(p.stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// toYAML makes YAML of what v is in JSON.
func toYAML(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var node yaml.Node
	if err := yaml.Unmarshal(data, &node); err != nil { // JSON is YAML
		return nil, err
	}
	unfold(&node)
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	err = e.Encode(&node)
	return b.Bytes(), err
}

// unfold takes the braces and the needless quotes of JSON away.
func unfold(n *yaml.Node) {
	empty := n.Kind != yaml.ScalarNode && len(n.Content) == 0
	if !empty {
		n.Style = 0
	}
	for _, inner := range n.Content {
		unfold(inner)
	}
}

// printNames prints objects as kubectl names them: pod/web.
func (p *peapod) printNames(kind string, names []string) error {
	for _, name := range names {
		if _, err := fmt.Fprintln(p.stdout, kind+"/"+name); err != nil {
			return err
		}
	}
	return nil
}
