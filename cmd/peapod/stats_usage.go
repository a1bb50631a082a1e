package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/peapod/peapod/cgroups"
	"github.com/peapod/peapod/runtime"
)

// usage is what a pod or a container uses. Rates are of the last interval, and
// left out in the first look.
type usage struct {
	Name   string `json:"name"`
	Pod    bool   `json:"pod,omitempty"`
	Paused bool   `json:"paused,omitempty"`
	// CPU is in cores, and so is its limit; a limit of 0 is none.
	CPU         float64 `json:"cpu"`
	CPULimit    float64 `json:"cpuLimit,omitempty"`
	Held        float64 `json:"throttled"` // share of the time
	Memory      uint64  `json:"memory"`    // bytes
	MemoryLimit uint64  `json:"memoryLimit,omitempty"`
	Pids        uint64  `json:"pids"`
	PidsLimit   uint64  `json:"pidsLimit,omitempty"`
	// Bytes a second.
	NetworkIn  float64 `json:"networkIn"`
	NetworkOut float64 `json:"networkOut"`
	Read       float64 `json:"diskRead"`
	Written    float64 `json:"diskWritten"`
	// Pressure is in percent: of CPU, memory and disk.
	Pressure *[3]float64 `json:"pressure,omitempty"`

	Containers []usage `json:"containers,omitempty"`

	unlimited bool // one of its containers has no memory limit
	// What is not measured: without a cgroup, or without its controller.
	noCPU, noMemory, noDisk bool
}

// MarshalJSON has null for what is not measured.
func (u usage) MarshalJSON() ([]byte, error) {
	type plain usage
	v := struct {
		plain
		CPU     *float64 `json:"cpu"`
		Held    *float64 `json:"throttled"`
		Memory  *uint64  `json:"memory"`
		Read    *float64 `json:"diskRead"`
		Written *float64 `json:"diskWritten"`
	}{plain: plain(u)}
	if !u.noCPU {
		v.CPU, v.Held = &u.CPU, &u.Held
	}
	if !u.noMemory {
		v.Memory = &u.Memory
	}
	if !u.noDisk {
		v.Read, v.Written = &u.Read, &u.Written
	}
	return json.Marshal(v)
}

// sample is what a container has used so far.
type sample struct {
	container *runtime.Container
	time      time.Time
	stats     *cgroups.Stats // nil where it has no cgroup
	pids      uint64         // without a cgroup
	network   []networkLoad
}

func takeSample(c *runtime.Container) (*sample, error) {
	s := &sample{container: c, time: time.Now()}
	var err error
	if s.stats, err = c.Stats(); errors.Is(err, runtime.ErrNoCgroup) {
		var pids []int
		pids, err = c.Pids()
		s.stats, s.pids = nil, uint64(len(pids))
	}
	if err != nil {
		return nil, err
	}
	s.network = networkOf(c.Pid())
	return s, nil
}

// look takes samples of all and compares them with those of the last time.
func (v *statsView) look(found []consumer) []usage {
	list, now := []usage{}, map[string]sample{}
	for _, f := range found {
		u := usage{Name: f.name, Pod: f.pod}
		for _, c := range f.containers {
			s, err := takeSample(c)
			if err != nil {
				continue // it has just ended
			}
			now[c.ID()] = *s
			var before *sample
			if b, ok := v.before[c.ID()]; ok {
				before = &b
			}
			one := s.usage(before)
			if !f.pod {
				u = one
				continue
			}
			one.Name = strings.TrimPrefix(c.ID(), f.name+".")
			u.add(one)
			u.Containers = append(u.Containers, one)
		}
		list = append(list, u)
	}
	v.before = now
	return list
}

// noLimit is the least of what v1 shows in place of none.
const noLimit = 1 << 62

func (s *sample) usage(before *sample) usage {
	u := usage{Name: s.container.ID(), Paused: s.container.Status() == runtime.StatePaused}
	if s.stats == nil {
		u.noCPU, u.noMemory, u.noDisk = true, true, true
		u.unlimited, u.Pids = true, s.pids
		if before != nil && s.time.After(before.time) {
			u.network(s, before)
		}
		return u
	}
	m := s.stats.Memory
	u.noMemory, u.noDisk = !s.stats.Counted.Memory, !s.stats.Counted.Block
	// Cache that can be given up at once is not what anybody worries about
	// (kubectl top and docker stats leave it out too).
	u.Memory = m.Usage.Usage - min(m.Usage.Usage, max(m.Raw["inactive_file"], m.Raw["total_inactive_file"]))
	if u.MemoryLimit = m.Usage.Limit; u.MemoryLimit >= noLimit {
		u.MemoryLimit = 0
	}
	u.unlimited = u.MemoryLimit == 0
	u.Pids, u.PidsLimit = s.stats.Pids.Current, s.stats.Pids.Limit
	u.CPULimit = s.stats.CPULimit
	if p := s.stats.CPU.Pressure; p != nil && s.stats.Memory.Pressure != nil && s.stats.Block.Pressure != nil {
		u.Pressure = &[3]float64{p.Some.Avg10, s.stats.Memory.Pressure.Some.Avg10, s.stats.Block.Pressure.Some.Avg10}
	}
	if before != nil && before.stats != nil && s.time.After(before.time) {
		u.rates(s, before)
		u.network(s, before)
	}
	return u
}

// rater tells how fast a counter runs, a second.
func (s *sample) rater(before *sample) func(now, then uint64) float64 {
	seconds := s.time.Sub(before.time).Seconds()
	return func(now, then uint64) float64 { return float64(now-min(now, then)) / seconds }
}

func (u *usage) network(s, before *sample) {
	rate := s.rater(before)
	in, out := traffic(s.network)
	oldIn, oldOut := traffic(before.network)
	u.NetworkIn, u.NetworkOut = rate(in, oldIn), rate(out, oldOut)
}

func (u *usage) rates(s, before *sample) {
	rate := s.rater(before)
	u.CPU = rate(s.stats.CPU.Usage.Total, before.stats.CPU.Usage.Total) / 1e9
	periods := s.stats.CPU.Throttling.Periods - before.stats.CPU.Throttling.Periods
	if held := s.stats.CPU.Throttling.ThrottledPeriods - before.stats.CPU.Throttling.ThrottledPeriods; periods > 0 && held <= periods {
		u.Held = float64(held) / float64(periods)
	}
	read, written := disk(s.stats)
	oldRead, oldWritten := disk(before.stats)
	u.Read, u.Written = rate(read, oldRead), rate(written, oldWritten)
}

func traffic(list []networkLoad) (in, out uint64) {
	for _, n := range list {
		in, out = in+n.RxBytes, out+n.TxBytes
	}
	return in, out
}

func disk(s *cgroups.Stats) (read, written uint64) {
	for _, e := range s.Block.Bytes {
		switch e.Op {
		case "Read":
			read += e.Value
		case "Write":
			written += e.Value
		}
	}
	return read, written
}

// add adds a container to its pod. They have one network.
func (u *usage) add(c usage) {
	u.CPU += c.CPU
	u.Held = max(u.Held, c.Held)
	u.Memory += c.Memory
	u.MemoryLimit += c.MemoryLimit
	u.unlimited = u.unlimited || c.unlimited
	u.noCPU, u.noMemory, u.noDisk = u.noCPU || c.noCPU, u.noMemory || c.noMemory, u.noDisk || c.noDisk
	u.Pids += c.Pids
	u.NetworkIn, u.NetworkOut = max(u.NetworkIn, c.NetworkIn), max(u.NetworkOut, c.NetworkOut)
	u.Read, u.Written = u.Read+c.Read, u.Written+c.Written
	if c.Pressure != nil {
		if u.Pressure == nil {
			u.Pressure = &[3]float64{}
		}
		for i, p := range c.Pressure {
			u.Pressure[i] = max(u.Pressure[i], p)
		}
	}
	if u.unlimited {
		u.MemoryLimit = 0
	}
}

// memory is "12M/64M", or "12M" without a limit.
func (u *usage) memory() string {
	if u.noMemory {
		return "-"
	}
	text := size(float64(u.Memory))
	if u.MemoryLimit > 0 && !u.unlimited {
		text += "/" + size(float64(u.MemoryLimit))
	}
	return text
}

// usageLines are the table.
func usageLines(list []usage) []string {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 1, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tCPU%\tHELD\tMEMORY\tMEM%\tPIDS\tNET IN/OUT\tDISK R/W\tPRESSURE")
	for i := range list {
		fmt.Fprintln(w, list[i].row(""))
		for j := range list[i].Containers {
			fmt.Fprintln(w, list[i].Containers[j].row("  "))
		}
	}
	w.Flush()
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return lines
}

func (u *usage) row(indent string) string {
	name, cpu, share, pids, pressure := indent+u.Name, rate(100*u.CPU), "-", fmt.Sprint(u.Pids), "-"
	held, disk := rate(100*u.Held)+"%", size(u.Read)+"/"+size(u.Written)
	if u.Paused {
		name += " (paused)"
	}
	if u.CPULimit > 0 {
		cpu += fmt.Sprintf("/%.0f", math.Round(100*u.CPULimit))
	}
	if u.noCPU {
		cpu, held = "-", "-"
	}
	if u.noDisk {
		disk = "-"
	}
	if u.MemoryLimit > 0 && !u.unlimited {
		share = rate(100*float64(u.Memory)/float64(u.MemoryLimit)) + "%"
	}
	if u.PidsLimit > 0 {
		pids += fmt.Sprintf("/%d", u.PidsLimit)
	}
	if p := u.Pressure; p != nil {
		pressure = rate(p[0]) + "/" + rate(p[1]) + "/" + rate(p[2])
	}
	return strings.Join([]string{name, cpu, held, u.memory(), share, pids,
		size(u.NetworkIn) + "/" + size(u.NetworkOut), disk, pressure}, "\t")
}
