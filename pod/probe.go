package pod

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// probeSecond is the second of delays and periods; shorter in tests.
var probeSecond = time.Second

// probing asks one run of a container how it is: one goroutine and one timer for
// each probe, and nothing at all for a container without.
type probing struct {
	w     *worker
	in    *instance
	stop  context.CancelFunc
	group sync.WaitGroup
}

// outcome is what one question came to.
type outcome struct {
	ok  bool
	why string // it is not
}

// startProbes begins to probe a container that has just been started. nil is
// what has nothing to probe.
func (w *worker) startProbes(in *instance) *probing {
	c := w.resolved.Container
	if c.StartupProbe == nil && c.LivenessProbe == nil && c.ReadinessProbe == nil {
		return nil
	}
	ctx, stop := context.WithCancel(w.s.stopping)
	p := &probing{w: w, in: in, stop: stop}
	p.group.Go(func() {
		if c.StartupProbe == nil || p.startup(ctx, c.StartupProbe) {
			p.others(ctx, c)
		}
	})
	return p
}

// end waits for the last word of all probes. It works on nil.
func (p *probing) end() {
	if p != nil {
		p.stop()
		p.group.Wait()
	}
}

// startup asks until the container has started, and reports whether it has.
func (p *probing) startup(ctx context.Context, probe *Probe) (started bool) {
	p.loop(ctx, "startup", probe, func(o outcome) bool {
		if o.ok {
			started = true
			p.w.started()
		} else {
			p.in.giveUp(fmt.Sprintf("startup probe failed %s: %s", times(probe.FailureThreshold), o.why), p.grace(probe))
		}
		return false
	})
	return started
}

// others are the probes of a container that has started.
func (p *probing) others(ctx context.Context, c *Container) {
	if probe := c.LivenessProbe; probe != nil {
		p.group.Go(func() {
			p.loop(ctx, "liveness", probe, func(o outcome) bool {
				if !o.ok {
					p.in.giveUp(fmt.Sprintf("liveness probe failed %s: %s", times(probe.FailureThreshold), o.why), p.grace(probe))
				}
				return o.ok
			})
		})
	}
	if probe := c.ReadinessProbe; probe != nil {
		p.group.Go(func() {
			var told *outcome
			p.loop(ctx, "readiness", probe, func(o outcome) bool {
				if told == nil || *told != o {
					told = &o
					p.w.ready(o)
				}
				return true
			})
		})
	}
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// grace is how long the container has to end when the probe has failed.
func (p *probing) grace(probe *Probe) time.Duration {
	if s := probe.TerminationGracePeriodSeconds; s != nil {
		return time.Duration(*s) * time.Second
	}
	return p.w.s.pod.GracePeriod()
}

// loop asks until tell returns false or ctx ends. A question that could not be
// asked counts for nothing, as with the kubelet.
func (p *probing) loop(ctx context.Context, what string, probe *Probe, tell func(outcome) bool) {
	ask := func() (outcome, error) {
		o, err := p.ask(ctx, probe)
		if err != nil && ctx.Err() == nil {
			p.w.s.log().Warn("a container cannot be probed", "container", p.w.name(), "probe", what, "error", err)
		}
		return o, err
	}
	probe.repeat(ctx, p.in.started, ask, tell)
}

// repeat asks, first after the initial delay and then once in a period, and calls
// tell with each outcome that has come often enough in a row.
func (p *Probe) repeat(ctx context.Context, started time.Time, ask func() (outcome, error), tell func(outcome) bool) {
	timer := time.NewTimer(time.Until(started.Add(time.Duration(p.InitialDelaySeconds) * probeSecond)))
	defer timer.Stop()
	last, row := false, 0
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		begin := time.Now()
		o, err := ask()
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			if o.ok != last {
				row = 0
			}
			last = o.ok
			if row++; row >= p.threshold(o.ok) && !tell(o) {
				return
			}
		}
		timer.Reset(time.Duration(p.PeriodSeconds)*probeSecond - time.Since(begin))
	}
}

// threshold is how often in a row it takes.
func (p *Probe) threshold(ok bool) int {
	if ok {
		return p.SuccessThreshold
	}
	return p.FailureThreshold
}
