// Command guest is a virtual machine's side of the lab: its first process,
// which gets the machine ready and runs the suites of its plan, or, where
// systemd is that, a service.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/integration/vm/wire"
)

func main() {
	if os.Getpid() != 1 {
		must(serve())
		return
	}
	must(boot())
	plan, err := readPlan()
	must(err)
	if plan.Init != "" {
		must(fmt.Errorf("execute %s: %w", plan.Init, unix.Exec(plan.Init, []string{plan.Init}, nil)))
	}
	must(mountAll(plan.Cgroups))
	must(loopbackUp())
	must(installBusybox())
	if plan.Shell {
		must(shell())
	} else {
		must(report(plan))
	}
	must(restart())
}

// must panics the kernel in the first process, which the host sees.
func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

// serve is the service's part.
func serve() error {
	plan, err := readPlan()
	if err != nil {
		return err
	}
	return report(plan)
}

func readPlan() (*wire.Plan, error) {
	data, err := os.ReadFile(wire.PlanFile)
	if err != nil {
		return nil, err
	}
	plan := new(wire.Plan)
	if err := json.Unmarshal(data, plan); err != nil {
		return nil, fmt.Errorf("%s: %w", wire.PlanFile, err)
	}
	return plan, nil
}

// restart ends the machine: qemu is told not to start it again. Unlike being
// switched off, every kind of machine can do that.
func restart() error {
	unix.Sync()
	return os.NewSyscallError("reboot", unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART))
}
