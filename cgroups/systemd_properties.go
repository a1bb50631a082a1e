package cgroups

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/systemd"
)

const (
	defaultPeriod = 100_000 // µs
	infinity      = uint64(math.MaxUint64)
)

// properties are the limits as systemd knows them (systemd.resource-control(5)),
// as runc maps them. What it has no word for is in the kernel's files alone.
func properties(r *specs.LinuxResources, two bool) []systemd.Property {
	if r == nil {
		return nil
	}
	var list []systemd.Property
	list = append(list, deviceProperties(r.Devices)...)
	if r.Memory != nil {
		list = append(list, memoryProperties(r.Memory, two)...)
	}
	if r.CPU != nil {
		list = append(list, cpuProperties(r.CPU, two)...)
	}
	if r.Pids != nil && r.Pids.Limit != nil {
		n := uint64(max(*r.Pids.Limit, 1))
		if *r.Pids.Limit < 0 {
			n = infinity
		}
		list = append(list, systemd.Set("TasksMax", n))
	}
	if b := r.BlockIO; b != nil && value(b.Weight) != 0 && !two {
		list = append(list, systemd.Set("BlockIOWeight", uint64(*b.Weight)))
	}
	return list
}

func memoryProperties(m *specs.LinuxMemory, two bool) (list []systemd.Property) {
	// -1 is no limit here too: 2^64-1.
	limit, name := value(m.Limit), "MemoryMax"
	if !two {
		name = "MemoryLimit"
	}
	if limit != 0 {
		list = append(list, systemd.Set(name, uint64(max(limit, -1))))
	}
	if low := value(m.Reservation); low != 0 && two {
		list = append(list, systemd.Set("MemoryLow", uint64(max(low, -1))))
	}
	if swap, set, err := swapAlone(limit, value(m.Swap)); err == nil && set && two {
		list = append(list, systemd.Set("MemorySwapMax", uint64(swap)))
	}
	return list
}

func cpuProperties(c *specs.LinuxCPU, two bool) (list []systemd.Property) {
	switch shares := value(c.Shares); {
	case c.Idle != nil && *c.Idle == 1: // CPUWeight=idle came with systemd 252; the file says it
	case shares != 0 && two:
		list = append(list, systemd.Set("CPUWeight", weight(shares)))
	case shares != 0:
		list = append(list, systemd.Set("CPUShares", shares))
	}
	quota, period := value(c.Quota), value(c.Period)
	if period != 0 {
		list = append(list, systemd.Set("CPUQuotaPeriodUSec", period))
	} else {
		period = defaultPeriod
	}
	switch {
	case quota > 0:
		list = append(list, systemd.Set("CPUQuotaPerSecUSec", perSecond(quota, period)))
	case quota < 0:
		list = append(list, systemd.Set("CPUQuotaPerSecUSec", infinity))
	}
	for name, text := range map[string]string{"AllowedCPUs": c.Cpus, "AllowedMemoryNodes": c.Mems} {
		if text != "" && two {
			list = append(list, systemd.Set(name, bits(text)))
		}
	}
	return list
}

// perSecond is rounded up to whole percents, which is all that systemd has: the
// kernel's file is written after it with the exact quota.
func perSecond(quota int64, period uint64) uint64 {
	const percent = 10_000
	n := uint64(quota) * 1_000_000 / period
	return (n + percent - 1) / percent * percent
}

// bits makes a mask of "0-2,4": byte by byte, the first CPU in the first bit.
func bits(text string) []byte {
	var mask []byte
	for _, n := range ranges(text) {
		for len(mask) <= int(n/8) {
			mask = append(mask, 0)
		}
		mask[n/8] |= 1 << (n % 8)
	}
	return mask
}

// deviceRuleProperty is an element of DeviceAllow.
type deviceRuleProperty struct{ Path, Access string }

// deviceProperties: systemd knows what is allowed and nothing else, so that it
// is told that where the rest is forbidden. Our own filter decides besides.
func deviceProperties(list []specs.LinuxDeviceCgroup) []systemd.Property {
	d, err := parseDevices(list)
	if err != nil || len(list) == 0 {
		return nil
	}
	if d == nil || d.allow {
		return []systemd.Property{systemd.Set("DevicePolicy", "auto"), systemd.Set("DeviceAllow", []deviceRuleProperty{})}
	}
	exceptions, err := d.exceptions()
	if err != nil {
		return nil
	}
	rules := []deviceRuleProperty{}
	for _, r := range exceptions {
		if path := devicePath(r); path != "" {
			rules = append(rules, deviceRuleProperty{path, r.access.String()})
		}
	}
	return []systemd.Property{systemd.Set("DevicePolicy", "strict"), systemd.Set("DeviceAllow", rules)}
}

// devicePath names devices as systemd does: by number, or by the driver's name
// in /proc/devices where all of a major number are meant.
func devicePath(r deviceRule) string {
	kind := "char"
	if r.kind == 'b' {
		kind = "block"
	}
	switch {
	case r.major == anyNumber:
		return kind + "-*"
	case r.minor == anyNumber:
		text, _ := readList("/proc/devices")
		return driver(text, kind, r.major)
	}
	return fmt.Sprintf("/dev/%s/%d:%d", kind, r.major, r.minor)
}

// driver finds "136 pts" below "Character devices:".
func driver(text, kind string, major int64) string {
	heading := map[string]string{"char": "Character devices:", "block": "Block devices:"}[kind]
	_, rest, _ := strings.Cut(text, heading)
	for line := range strings.Lines(rest) {
		f := strings.Fields(line)
		if len(f) == 2 && f[1] == "devices:" {
			break
		}
		if len(f) == 2 && f[0] == strconv.FormatInt(major, 10) {
			return kind + "-" + f[1]
		}
	}
	return ""
}
