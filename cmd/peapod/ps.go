package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/peapod/peapod/internal/cli"
)

func (p *peapod) psCommand() *cli.Command {
	return &cli.Command{
		Name:      "ps",
		Usage:     "list a container's processes",
		ArgsUsage: "ID [PS OPTIONS]",
		Description: `The table is made by ps(1) of the host, "ps -ef" unless other options are
given; its output must have a column PID.

Example: peapod ps web1 -o pid,rss,args`,
		Flags: []cli.Flag{
			{Kind: cli.String, Name: "format", Short: "f", Value: "table", Usage: "`FORMAT` table or json", Choices: formats},
		},
		Verbatim: 1,
		Action:   p.ps,
	}
}

func (p *peapod) ps(c *cli.Context) error {
	if err := c.NeedArgs(1, -1); err != nil {
		return err
	}
	container, err := p.load(c)
	if err != nil {
		return err
	}
	pids, err := container.Pids()
	if err != nil {
		return err
	}
	slices.Sort(pids)
	switch format := c.String("format"); format {
	case "json":
		return json.NewEncoder(p.stdout).Encode(append([]int{}, pids...))
	case "table":
	default:
		return fmt.Errorf("--format %q: give table or json", format)
	}
	options := c.Args().Tail()
	if len(options) == 0 {
		options = []string{"-ef"}
	}
	cmd := exec.CommandContext(c.Context, "ps", options...)
	cmd.Stderr = p.stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("ps %s: %w (--format json does without ps)", strings.Join(options, " "), err)
	}
	lines, err := linesOf(string(out), pids)
	for _, line := range lines {
		fmt.Fprintln(p.stdout, line)
	}
	return err
}

// linesOf are the head and the lines of pids of a table that ps printed.
func linesOf(table string, pids []int) ([]string, error) {
	head, rest, _ := strings.Cut(table, "\n")
	column := slices.Index(strings.Fields(head), "PID")
	if column < 0 {
		return nil, errors.New("the output of ps has no column PID: choose other options")
	}
	lines := []string{head}
	for _, line := range strings.Split(strings.TrimRight(rest, "\n"), "\n") {
		fields := strings.Fields(line)
		if len(fields) <= column {
			continue
		}
		if pid, err := strconv.Atoi(fields[column]); err == nil && slices.Contains(pids, pid) {
			lines = append(lines, line)
		}
	}
	return lines, nil
}
