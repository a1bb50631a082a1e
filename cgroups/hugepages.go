package cgroups

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// hugepages limits what is used, and where the kernel can (5.7) what is reserved:
// a mapping that was promised pages is not killed when it touches them.
func hugepages(r *specs.LinuxResources, at controllers) ([]setting, error) {
	if len(r.HugepageLimits) == 0 {
		return nil, nil
	}
	v, err := where(at, "hugetlb", "hugepageLimits")
	if err != nil {
		return nil, err
	}
	end := ".max"
	if v == one {
		end = ".limit_in_bytes"
	}
	var list []setting
	for _, l := range r.HugepageLimits {
		if !pageSize(l.Pagesize) {
			return nil, fmt.Errorf("%w hugepageLimits: pageSize %q: give one such as 2MB or 1GB (the directories of /sys/kernel/mm/hugepages say which there are)", ErrInvalid, l.Pagesize)
		}
		limit := strconv.FormatUint(l.Limit, 10)
		list = append(list,
			setting{controller: "hugetlb", version: v, file: "hugetlb." + l.Pagesize + end, value: limit},
			setting{controller: "hugetlb", version: v, file: "hugetlb." + l.Pagesize + ".rsvd" + end, value: limit, optional: true})
	}
	return list, nil
}

// pageSize holds for a number and KB, MB or GB.
func pageSize(s string) bool {
	number := strings.TrimRight(s, "KMGB")
	unit := s[len(number):]
	return number != "" && strings.Trim(number, "0123456789") == "" && number[0] != '0' && slices.Contains([]string{"KB", "MB", "GB"}, unit)
}

// pageSizes are those of the host, "2MB", as the files are named.
func pageSizes() (list []string) {
	entries, _ := os.ReadDir("/sys/kernel/mm/hugepages")
	for _, e := range entries {
		kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(e.Name(), "hugepages-"), "kB"), 10, 64)
		if err != nil {
			continue
		}
		unit := 0
		for ; kib%1024 == 0 && unit < 2; unit++ {
			kib /= 1024
		}
		list = append(list, strconv.FormatUint(kib, 10)+[]string{"KB", "MB", "GB"}[unit])
	}
	return list
}
