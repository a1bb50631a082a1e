package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/pod"
)

func (p *peapod) podPsCommand() *cli.Command {
	return &cli.Command{
		Name:        "ps",
		Usage:       "list the pods",
		Description: "Example: peapod pod ps -o wide",
		Flags: []cli.Flag{
			outputFlag(listFormats...),
			{Name: "quiet", Short: "q", Usage: "print names only"},
		},
		Action: p.podPs,
	}
}

func (p *peapod) podPs(c *cli.Context) error {
	if err := c.NeedArgs(0, 0); err != nil {
		return err
	}
	format, err := output(c, listFormats...)
	if err != nil {
		return err
	}
	records, err := p.store().List()
	if err != nil {
		return err
	}
	names, list := []string{}, podList{APIVersion: "v1", Kind: "PodList", Items: []podItem{}}
	for _, r := range records {
		names = append(names, r.Pod.Metadata.Name)
		list.Items = append(list.Items, podItem{r.Pod, r.Status})
	}
	switch {
	case c.Bool("quiet"):
		for _, name := range names {
			fmt.Fprintln(p.stdout, name)
		}
		return nil
	case format == "name":
		return p.printNames("pod", names)
	case format == "json" || format == "yaml":
		return p.print(list, format)
	}
	w := tabwriter.NewWriter(p.stdout, 8, 1, 3, ' ', 0)
	head := "NAME\tREADY\tSTATUS\tRESTARTS\tAGE\tMEMORY\tPORTS"
	if format == "wide" {
		head += "\tSUPERVISOR\tCONTAINERS"
	}
	fmt.Fprintln(w, head)
	for _, r := range records {
		fmt.Fprintln(w, strings.Join(podRow(r, time.Now(), p.memoryOf(r), format == "wide"), "\t"))
	}
	return w.Flush()
}

// podItem is a Pod with its status, as kubectl prints it.
type podItem struct {
	*pod.Pod
	Status pod.PodStatus `json:"status"`
}

type podList struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Items      []podItem `json:"items"`
}

// podRow is a pod's line in the table.
func podRow(r *pod.Record, now time.Time, memory string, wide bool) []string {
	ready, restarts := 0, 0
	var containers []string
	for _, c := range r.Status.ContainerStatuses {
		if c.Ready {
			ready++
		}
		restarts += c.RestartCount
		containers = append(containers, c.Name+"="+containerWord(c.State))
	}
	row := []string{
		r.Pod.Metadata.Name,
		fmt.Sprintf("%d/%d", ready, len(r.Pod.Spec.Containers)),
		podWord(r.Status),
		fmt.Sprint(restarts),
		age(r.Status.StartTime, now),
		memory,
		strings.Join(podPorts(r), ","),
	}
	if wide {
		row = append(row, fmt.Sprint(r.Status.Supervisor.PID), strings.Join(containers, ","))
	}
	return row
}

// podWord is the phase, or what is more telling.
func podWord(s pod.PodStatus) string {
	if s.Reason != "" {
		return s.Reason
	}
	for _, c := range s.ContainerStatuses {
		if c.State.Terminated != nil && c.State.Terminated.Reason == pod.ReasonOOMKilled {
			return pod.ReasonOOMKilled
		}
		if c.State.Waiting != nil && c.State.Waiting.Reason != "" {
			return c.State.Waiting.Reason
		}
	}
	switch {
	case s.Phase == "":
		return string(pod.PodPending)
	case s.Phase == pod.PodFailed && s.ExitCode != nil:
		return fmt.Sprintf("%s(%d)", s.Phase, *s.ExitCode)
	}
	return string(s.Phase)
}

func containerWord(s pod.ContainerState) string {
	switch {
	case s.Running != nil:
		return "running"
	case s.Terminated != nil && s.Terminated.Reason == pod.ReasonOOMKilled:
		return s.Terminated.Reason
	case s.Terminated != nil:
		return fmt.Sprintf("exited(%d)", s.Terminated.ExitCode)
	case s.Waiting != nil:
		return s.Waiting.Reason
	}
	return "pending"
}

// podPorts are the forwarded ports: 127.0.0.1:8080->80/tcp.
func podPorts(r *pod.Record) (list []string) {
	if ended(r) {
		return nil
	}
	eachPort(r.Pod, func(container, host string, port int) {
		list = append(list, fmt.Sprintf("%s->%d/tcp", host, port))
	})
	return list
}

// ended tells whether nothing of the pod runs or will run.
func ended(r *pod.Record) bool {
	return r.Status.Phase == pod.PodSucceeded || r.Status.Phase == pod.PodFailed
}

// age is a time span in one or two units, as kubectl prints it.
func age(from, now time.Time) string {
	if from.IsZero() {
		return "-"
	}
	switch d := max(now.Sub(from), 0); {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours())/24)
	}
}

func (p *peapod) podInspectCommand() *cli.Command {
	formats := []string{"json", "yaml", "name"}
	return &cli.Command{
		Name:      "inspect",
		Usage:     "print the spec and status of pods",
		ArgsUsage: "POD|deployment/NAME...",
		Description: `Of several pods it is a list. status.supervisor.log is the supervisor's own log.

Example: peapod pod inspect -o yaml hello`,
		Flags: []cli.Flag{outputFlag(formats...), podFileFlag, allFlag},
		Action: func(c *cli.Context) error {
			format, err := output(c, formats...)
			if err != nil {
				return err
			}
			names, err := p.podNames(c)
			if err != nil {
				return podError(err)
			}
			list := podList{APIVersion: "v1", Kind: "PodList"}
			for _, name := range names {
				r, err := p.store().Get(name)
				if err != nil {
					return podError(err)
				}
				list.Items = append(list.Items, podItem{r.Pod, r.Status})
			}
			switch {
			case format == "name":
				return p.printNames("pod", names)
			case len(list.Items) == 1:
				return p.print(list.Items[0], format)
			}
			return p.print(list, format)
		},
	}
}
