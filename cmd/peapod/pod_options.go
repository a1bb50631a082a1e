package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/pod"
)

// The options that several commands for pods have, by the same names: podman's and
// kubectl's where these have some.

var graceFlag = cli.Flag{Kind: cli.String, Name: "time", Short: "t", Aliases: []string{"grace-period"}, DefaultText: "terminationGracePeriodSeconds of the spec",
	Usage: "kill after `SECONDS`, or a duration such as 2m; also --grace-period"}

var timeoutFlag = cli.Flag{Kind: cli.String, Name: "timeout", DefaultText: "as the Deployment says",
	Usage: "give up after `DURATION`: 90s, 5m, or seconds"}

var allFlag = cli.Flag{Name: "all", Short: "a", Usage: "all pods"}

var podFileFlag = cli.Flag{Kind: cli.String, Name: "file", Usage: "the pods of `FILE`, and those of its Deployments"}

// fileFlag is for commands that take a file as their argument.
var fileFlag = cli.Flag{Kind: cli.String, Name: "file", Short: "f", Aliases: []string{"filename"}, Usage: "the `FILE`, as kubectl has it"}

// fileArgument is the file that a command is for, given as its argument or by --file.
func fileArgument(c *cli.Context) (string, error) {
	if file := c.String("file"); file != "" {
		return file, c.NeedArgs(0, 0)
	}
	return c.Args().First(), c.NeedArgs(1, 1)
}

// span is the value of an option that is a time: seconds, or a duration with its unit.
// It is negative where the option is not given.
func span(c *cli.Context, name string) (time.Duration, error) {
	if !c.IsSet(name) {
		return -1, nil
	}
	text := c.String(name)
	d, err := time.ParseDuration(text)
	if seconds, e := strconv.ParseFloat(text, 64); e == nil {
		if !(seconds >= 0 && seconds <= maxSpan.Seconds()) { // NaN is neither
			return 0, fmt.Errorf("pod %s: --%s %s: give seconds, 0 or more", c.Command.Name, name, text)
		}
		d, err = time.Duration(seconds*float64(time.Second)), nil
	}
	if err != nil || d < 0 || d > maxSpan {
		return 0, fmt.Errorf("pod %s: --%s %q: give seconds, or a duration such as 90s or 5m", c.Command.Name, name, text)
	}
	return d, nil
}

const maxSpan = 1e9 * time.Second

// waiting is what the options --time and --timeout say.
func (p *peapod) waiting(c *cli.Context) (w pod.Waiting, err error) {
	grace, err1 := span(c, "time")
	timeout, err2 := span(c, "timeout")
	if grace >= 0 {
		w.Grace = &grace
	}
	w.Timeout = max(0, timeout)
	w.Progress = p.progress()
	return w, errors.Join(err1, err2)
}

// onePod is the name of the pod that a command is for: NAME, pod/NAME, or the first of
// deployment/NAME, as kubectl has it.
func (p *peapod) onePod(c *cli.Context) (string, error) {
	name, deployment, err := pod.SplitTarget(c.Args().First())
	if err != nil || !deployment {
		return name, err
	}
	names, err := p.podsOfDeployment(name)
	if err != nil {
		return "", err
	}
	if len(names) > 1 {
		fmt.Fprintf(p.stderr, "peapod: deployment %s has %d pods; this is %s\n", name, len(names), names[0])
	}
	return names[0], nil
}
