package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/peapod/peapod/pod"
)

// quietStop is after how long somebody at a terminal wonders what is being waited for.
const quietStop = 500 * time.Millisecond

// explainWait tells a user at a terminal what pod stop waits for, and for how long at
// most, unless that comes at once. What it returns is to be called when it has come.
func (p *peapod) explainWait(name string, grace time.Duration) (done func()) {
	if !isTerminal(p.stderr) {
		return func() {}
	}
	begun := time.Now()
	timer := time.AfterFunc(quietStop, func() {
		r, err := p.store().Get(name)
		if err != nil {
			return
		}
		fmt.Fprintf(p.stderr, "peapod: %s\n", waitText(r, grace, time.Since(begun)))
	})
	return func() { timer.Stop() }
}

// waitText says what the end of a pod waits for.
func waitText(r *pod.Record, grace, passed time.Duration) string {
	if grace < 0 {
		grace = r.Pod.GracePeriod()
	}
	var running []string
	for _, c := range r.Status.ContainerStatuses {
		if c.PID != 0 {
			running = append(running, c.Name)
		}
	}
	who := strings.Join(running, ", ")
	if who == "" {
		who = "it"
	}
	name := r.Pod.Metadata.Name
	return fmt.Sprintf("stopping pod %s: waiting for %s to end, up to %v (peapod pod stop -t 0 %s kills it now)",
		name, who, max(0, grace-passed).Round(time.Second), name)
}
