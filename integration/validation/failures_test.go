package validation

// failures are the programs that do not pass on the machines that run these tests,
// with the reason. docs/oci.md has them, and how runc and crun do.
var failures = map[string]string{
	"delete":                         "wants delete to refuse a container that is created and not started; runc and crun delete it, as engines expect",
	"delete_resources":               "compares the addresses of two numbers instead of the numbers",
	"linux_cgroups_blkio":            "blkio.leaf_weight went with the CFQ scheduler, Linux 5.0",
	"linux_cgroups_hugetlb":          "counts on hugetlb limits of cgroup v1, which the test machine does not have",
	"linux_cgroups_memory":           "memory.kmem.limit_in_bytes went with Linux 5.16",
	"linux_cgroups_network":          "counts on net_cls and net_prio, which the test machine does not have",
	"linux_cgroups_pids":             "compares the addresses of two numbers instead of the numbers",
	"linux_cgroups_relative_blkio":   "as linux_cgroups_blkio",
	"linux_cgroups_relative_hugetlb": "as linux_cgroups_hugetlb",
	"linux_cgroups_relative_memory":  "as linux_cgroups_memory",
	"linux_cgroups_relative_network": "as linux_cgroups_network",
	"linux_cgroups_relative_pids":    "compares the addresses of two numbers instead of the numbers",
	"misc_props":                     "executes a program that it did not put into the root",
	"process_capabilities":           "wants CAP_SYS_RESOURCE, which the test machine's root does not have",
	"process_capabilities_fail":      "wants an unknown capability to be an error; the specification says to warn since 1.1",
	"process_rlimits":                "wants RLIMIT_NOFILE above what CAP_SYS_RESOURCE would be needed for",
	"process_rlimits_fail":           "ends without a plan when the error comes that it wants",
	"start":                          "wants to create a container without a process",
}

// unsteady are programs that pass now and then: pidfile kills what may have ended
// by itself.
var unsteady = map[string]bool{"pidfile": true}

// hasty are programs that fail now and then on a busy machine, and so are tried ten
// times: killsig sends its signals as soon as the container runs, when its shell may not
// yet have set the trap for them.
var hasty = map[string]bool{"killsig": true}
