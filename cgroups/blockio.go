package cgroups

import (
	"fmt"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Weights of block I/O as the OCI has them.
const (
	minBlockWeight = 10
	maxBlockWeight = 1000
)

// blockIO: the blkio controller of v1, io of v2.
func blockIO(r *specs.LinuxResources, at controllers) ([]setting, error) {
	b := r.BlockIO
	if b == nil {
		return nil, nil
	}
	throttles := throttles(b)
	leaf := value(b.LeafWeight) != 0
	for i := range b.WeightDevice {
		leaf = leaf || value(b.WeightDevice[i].LeafWeight) != 0
	}
	if value(b.Weight) == 0 && !leaf && len(b.WeightDevice) == 0 && len(throttles) == 0 {
		return nil, nil
	}
	v, err := whereEither(at, "blkio", "io", "blockIO")
	if err != nil {
		return nil, err
	}
	if v == two && leaf {
		return nil, fmt.Errorf("resource blockIO.leafWeight: %w: cgroup v2 has no processes beside groups, and so no weight between them; leave it out", ErrUnsupported)
	}
	if err := checkBlockWeights(b); err != nil {
		return nil, err
	}
	list := blockWeights(b, v)
	for _, t := range throttles {
		list = append(list, t.setting(v))
	}
	return list, nil
}

func checkBlockWeights(b *specs.LinuxBlockIO) error {
	check := func(field string, w *uint16) error {
		if n := value(w); n != 0 && (n < minBlockWeight || n > maxBlockWeight) {
			return fmt.Errorf("%w blockIO.%s %d: give %d to %d", ErrInvalid, field, n, minBlockWeight, maxBlockWeight)
		}
		return nil
	}
	if err := check("weight", b.Weight); err != nil {
		return err
	}
	if err := check("leafWeight", b.LeafWeight); err != nil {
		return err
	}
	for i := range b.WeightDevice {
		if err := check(fmt.Sprintf("weightDevice[%d].weight", i), b.WeightDevice[i].Weight); err != nil {
			return err
		}
		if err := check(fmt.Sprintf("weightDevice[%d].leafWeight", i), b.WeightDevice[i].LeafWeight); err != nil {
			return err
		}
	}
	return nil
}

// blockWeights: the files are those of whoever shares the disks out. It is the
// scheduler BFQ, with files of its own since Linux 5.0 (CFQ has gone), and on v2
// the controller's cost model where BFQ is not there.
func blockWeights(b *specs.LinuxBlockIO, v version) []setting {
	var list []setting
	add := func(device string, weight uint16) {
		list = append(list, blockWeight(device, weight, v))
	}
	leaf := func(file, device string, weight uint16) {
		list = append(list, setting{controller: "blkio", version: one, file: file, value: device + strconv.Itoa(int(weight))})
	}
	if w := value(b.Weight); w != 0 {
		add("", w)
	}
	if w := value(b.LeafWeight); w != 0 {
		leaf("blkio.leaf_weight", "", w)
	}
	for i := range b.WeightDevice {
		d := &b.WeightDevice[i]
		device := fmt.Sprintf("%d:%d ", d.Major, d.Minor)
		if w := value(d.Weight); w != 0 {
			add(device, w)
		}
		if w := value(d.LeafWeight); w != 0 {
			leaf("blkio.leaf_weight_device", device, w)
		}
	}
	return list
}

// blockWeight is one weight; device is "" or "8:0 ".
func blockWeight(device string, weight uint16, v version) setting {
	text := device + strconv.Itoa(int(weight))
	if v == two {
		other := setting{controller: "io", version: two, file: "io.weight", value: device + strconv.FormatUint(ioWeight(weight), 10)}
		return setting{controller: "io", version: two, file: "io.bfq.weight", value: text, instead: &other}
	}
	s := setting{controller: "blkio", version: one, file: "blkio.bfq.weight", value: text}
	other := setting{controller: "blkio", version: one, file: "blkio.weight", value: text}
	if device != "" {
		s.file, other.file = "blkio.bfq.weight_device", "blkio.weight_device"
	}
	s.instead = &other
	return s
}

// ioWeight converts 10 to 1000 into 1 to 10000, as runc and crun do.
func ioWeight(weight uint16) uint64 {
	return 1 + (uint64(weight)-minBlockWeight)*9999/(maxBlockWeight-minBlockWeight)
}

// throttle is a rate for a device, in bytes or operations a second.
type throttle struct {
	one, two     string // the file of v1, the key of v2's io.max
	major, minor int64
	rate         uint64
}

func throttles(b *specs.LinuxBlockIO) []throttle {
	var list []throttle
	for _, f := range []struct {
		one, two string
		devices  []specs.LinuxThrottleDevice
	}{
		{"read_bps_device", "rbps", b.ThrottleReadBpsDevice},
		{"write_bps_device", "wbps", b.ThrottleWriteBpsDevice},
		{"read_iops_device", "riops", b.ThrottleReadIOPSDevice},
		{"write_iops_device", "wiops", b.ThrottleWriteIOPSDevice},
	} {
		for _, d := range f.devices {
			list = append(list, throttle{f.one, f.two, d.Major, d.Minor, d.Rate})
		}
	}
	return list
}

// setting: a rate of 0 takes the limit away, which v2 writes as max.
func (t *throttle) setting(v version) setting {
	if v == one {
		return setting{controller: "blkio", version: one, file: "blkio.throttle." + t.one, value: fmt.Sprintf("%d:%d %d", t.major, t.minor, t.rate)}
	}
	rate := "max"
	if t.rate != 0 {
		rate = strconv.FormatUint(t.rate, 10)
	}
	return setting{controller: "io", version: two, file: "io.max", value: fmt.Sprintf("%d:%d %s=%s", t.major, t.minor, t.two, rate)}
}
