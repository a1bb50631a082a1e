package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// machine is a kernel with a way to be set up.
type machine struct {
	name    string
	kernel  string
	cgroups string // v1 or v2; systemd's machines have v2
	systemd bool
	request bool // only when it is named
	criu    bool // is there
	about   string
}

// machines are booted in this order, two at a time.
var machines = []machine{
	{"v2", "debian12", "v2", false, false, true, "Debian 12 with cgroup v2 alone"},
	{"v1", "debian12", "v1", false, false, false, "Debian 12 with all controllers on cgroup v1"},
	{"arm64", "debian12-arm64", "v2", false, false, false, "Debian 12 on the other architecture"},
	{"backports", "debian12-backports", "v2", false, true, false, "Debian 12 with the kernel of the next Debian"},
	{"old", "debian11", "v2", false, true, false, "Debian 11, whose kernel is too old for containers, and says so"},
	{"systemd", "debian12", "v2", true, true, false, "Debian 12 with systemd as the first process"},
}

// memory of a machine, in MiB. The root is in it.
const memory = 2048

// modules are those that hosts of containers have loaded, and the machine's own
// (virtio). What a kernel has built in counts as loaded.
var modules = []string{
	"virtio_pci", "virtio_console", "virtio_rng", "virtio_blk",
	"overlay", "squashfs", "erofs", "loop", "fuse",
	"veth", "bridge", "br_netfilter", "dummy", "macvlan", "ipvlan", "tun",
	"nf_tables", "nft_chain_nat", "nft_masq", "nft_ct", "nft_fib_inet", "nft_reject_inet", "nf_conntrack",
}

// criuModules are those by which criu looks at sockets.
var criuModules = []string{"unix_diag", "tcp_diag", "udp_diag", "raw_diag", "af_packet_diag", "netlink_diag", "nf_conntrack_netlink"}

func chooseMachines(names string) (list []machine, err error) {
	if names == "" {
		return slices.DeleteFunc(slices.Clone(machines), func(m machine) bool { return m.request }), nil
	}
	for name := range strings.SplitSeq(names, ",") {
		at := slices.IndexFunc(machines, func(m machine) bool { return m.name == name })
		if at < 0 {
			var known []string
			for _, m := range machines {
				known = append(known, m.name)
			}
			return nil, fmt.Errorf("there is no machine %q but %s", name, strings.Join(known, ", "))
		}
		list = append(list, machines[at])
	}
	return list, nil
}

// printList is for -list.
func printList(root string, list []machine) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, m := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\n", m.name, m.kernel, m.about)
		suites, err := suitesOf(root, m)
		if err != nil {
			return err
		}
		for _, s := range suites {
			fmt.Fprintf(w, "\t%s\t%s\n", s.name(), s.says())
		}
	}
	return w.Flush()
}
