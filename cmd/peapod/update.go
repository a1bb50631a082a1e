package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/runtime"
)

func (p *peapod) updateCommand() *cli.Command {
	value := func(name, usage string) cli.Flag { return cli.Flag{Kind: cli.String, Name: name, Usage: usage} }
	hidden := func(name string) cli.Flag { return cli.Flag{Kind: cli.String, Name: name, Hidden: true} }
	return &cli.Command{
		Name:      "update",
		Usage:     "change the limits of a container",
		ArgsUsage: "ID",
		Description: `What is not given stays as it is. Sizes take K, M, G and T behind the number;
-1 is no limit. --resources takes what linux.resources has in config.json, all
of it, and the other options are ignored then:

  {"memory": {"limit": 67108864}, "pids": {"limit": 100},
   "unified": {"memory.high": "50M"}}

Example: peapod update --memory 64M --cpu-quota 20000 web1`,
		Flags: []cli.Flag{
			{Kind: cli.String, Name: "resources", Short: "r", Usage: "take the limits from the JSON `FILE` (-: standard input)"},
			{Kind: cli.Int, Name: "blkio-weight", Usage: "share of the disks' time, `N` of 10 to 1000"},
			value("cpu-period", "period of the CPU quota in `USEC`"),
			value("cpu-quota", "CPU time in each period, `USEC` or -1"),
			value("cpu-burst", "unused CPU time that may be caught up on, in `USEC`"),
			value("cpu-share", "share of the CPUs' time, `N`; 1024 is usual"),
			value("cpu-idle", "1: only when nobody else runs; 0: as usual (`N`)"),
			value("cpu-rt-period", "period of the realtime limit in `USEC` (cgroup v1)"),
			value("cpu-rt-runtime", "realtime CPU time in each period, in `USEC` (cgroup v1)"),
			value("cpuset-cpus", "CPUs to run on, a `LIST` such as 0-3,6"),
			value("cpuset-mems", "NUMA nodes to have memory of, a `LIST`"),
			value("memory", "memory, `BYTES` or -1"),
			value("memory-reservation", "memory that is left alone when others need some, in `BYTES`"),
			value("memory-swap", "memory and swap together, `BYTES` or -1"),
			{Kind: cli.Int, Name: "pids-limit", Usage: "processes and threads, `N` or -1"},
			hidden("kernel-memory"), hidden("kernel-memory-tcp"), // without an effect, as in runc
			value("l3-cache-schema", "`SCHEMA` of the L3 cache, such as L3:0=f;1=f0 (linux.intelRdt)"),
			value("mem-bw-schema", "`SCHEMA` of the memory's bandwidth, such as MB:0=20;1=70 (linux.intelRdt)"),
		},
		Action: p.update,
	}
}

func (p *peapod) update(c *cli.Context) error {
	if err := c.NeedArgs(1, 1); err != nil {
		return err
	}
	r, err := updateResources(c)
	if err != nil {
		return err
	}
	container, err := p.load(c)
	if err != nil {
		return err
	}
	p.log.Debug("change limits", "container", container.ID())
	if rdt := (specs.LinuxIntelRdt{L3CacheSchema: c.String("l3-cache-schema"), MemBwSchema: c.String("mem-bw-schema")}); rdt.L3CacheSchema+rdt.MemBwSchema != "" {
		if err := container.UpdateRdt(&rdt); err != nil {
			return err
		}
	}
	return container.Update(r)
}

// updateResources are those of --resources, or of the other options.
func updateResources(c *cli.Context) (*specs.LinuxResources, error) {
	if path := c.String("resources"); path != "" {
		if path == "-" {
			path = "/dev/stdin"
		}
		return runtime.LoadResources(path)
	}
	f := &fields{c: c}
	cpu := &specs.LinuxCPU{
		Shares: optional[uint64](f, "cpu-share"), Quota: optional[int64](f, "cpu-quota"), Period: optional[uint64](f, "cpu-period"),
		Burst: optional[uint64](f, "cpu-burst"), Idle: optional[int64](f, "cpu-idle"),
		RealtimePeriod: optional[uint64](f, "cpu-rt-period"), RealtimeRuntime: optional[int64](f, "cpu-rt-runtime"),
		Cpus: c.String("cpuset-cpus"), Mems: c.String("cpuset-mems"),
	}
	memory := &specs.LinuxMemory{Limit: f.bytes("memory"), Reservation: f.bytes("memory-reservation"), Swap: f.bytes("memory-swap")}
	r := &specs.LinuxResources{CPU: cpu, Memory: memory}
	if w := c.Int("blkio-weight"); w != 0 {
		weight := uint16(min(max(w, 0), math.MaxUint16))
		r.BlockIO = &specs.LinuxBlockIO{Weight: &weight}
	}
	if c.IsSet("pids-limit") {
		limit := int64(c.Int("pids-limit"))
		r.Pids = &specs.LinuxPids{Limit: &limit}
	}
	return r, f.err
}

// fields reads options that may be left out, and keeps the first mistake.
type fields struct {
	c   *cli.Context
	err error
}

func optional[T int64 | uint64](f *fields, name string) *T {
	text := f.c.String(name)
	if text == "" {
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	v := T(n)
	if err == nil && n < 0 && v > 0 { // of a type without negative numbers
		err = strconv.ErrRange
	}
	if err != nil && f.err == nil {
		f.err = fmt.Errorf("--%s %q: give a whole number", name, text)
	}
	return &v
}

func (f *fields) bytes(name string) *int64 {
	text := f.c.String(name)
	if text == "" {
		return nil
	}
	n, err := parseBytes(text)
	if err != nil && f.err == nil {
		f.err = fmt.Errorf("--%s %q: %w", name, text, err)
	}
	return &n
}

// parseBytes reads "64M", "1.5GiB" or "67108864": units are powers of 1024, as in
// runc and Docker. -1 is no limit.
func parseBytes(text string) (int64, error) {
	if text == "-1" {
		return -1, nil
	}
	bad := errors.New("give a size such as 67108864 or 64M, or -1")
	lower := strings.TrimSuffix(strings.ToLower(text), "b")
	lower = strings.TrimSuffix(lower, "i")
	unit := 1.0
	if i := strings.IndexByte("kmgtp", (lower + " ")[max(len(lower)-1, 0)]); i >= 0 {
		unit, lower = math.Pow(1024, float64(i+1)), lower[:len(lower)-1]
	} else if strings.HasSuffix(strings.ToLower(text), "i") || strings.HasSuffix(strings.ToLower(text), "ib") {
		return 0, bad
	}
	if strings.Trim(lower, "0123456789.") != "" {
		return 0, bad
	}
	n, err := strconv.ParseFloat(lower, 64)
	if err != nil || n*unit > math.MaxInt64/2 {
		return 0, bad
	}
	return int64(n * unit), nil
}
