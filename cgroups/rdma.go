package cgroups

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// rdma: one line a device, the same on v1 and v2.
func rdma(r *specs.LinuxResources, at controllers) ([]setting, error) {
	if len(r.Rdma) == 0 {
		return nil, nil
	}
	v, err := where(at, "rdma", "rdma")
	if err != nil {
		return nil, err
	}
	var list []setting
	for _, device := range slices.Sorted(maps.Keys(r.Rdma)) {
		limit := r.Rdma[device]
		text := device
		if limit.HcaHandles != nil {
			text += fmt.Sprintf(" hca_handle=%d", *limit.HcaHandles)
		}
		if limit.HcaObjects != nil {
			text += fmt.Sprintf(" hca_object=%d", *limit.HcaObjects)
		}
		if text == device || device == "" || strings.ContainsAny(device, " \t\n") {
			return nil, fmt.Errorf("%w rdma %q: give the device's name, and hcaHandles or hcaObjects", ErrInvalid, device)
		}
		list = append(list, setting{controller: "rdma", version: v, file: "rdma.max", value: text})
	}
	return list, nil
}
