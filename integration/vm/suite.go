package main

import (
	"path"
	"slices"
	"strings"
)

// suite is a package's tests, or a part of them.
type suite struct {
	machines string // names, with spaces between them
	pkg      string // its directory
	run      string // the tests that match; all
	skip     string // but for these
	why      string // are these left out
	user     string // runs it; root
}

// suites are what is tested where. Under emulation a process starts in 8 ms, not
// in 0.5: what is left out is what takes long and has nothing to do with the
// kernel.
var suites = []suite{
	{machines: "v2 v1 arm64", pkg: "cgroups"},
	{machines: "v2 v1", pkg: "runtime", skip: "^(TestManyAtOnce|TestEnteringIsNotTraced|TestWorkingDirectoryIsInside)$", why: "races by the hundred"},
	{machines: "arm64", pkg: "runtime", run: "^(TestDefaults|TestLife|TestExec|TestKillAll|TestUserNamespace|TestTerminal|TestLinksInImage|TestSetupHasNothingOfParent)$"},
	{machines: "v2 v1 arm64", pkg: "internal/program"},
	{machines: "v2 v1", pkg: "rootfs"},
	{machines: "v2 v1", pkg: "namespaces", skip: "^TestThousandSets$", why: "thousands of namespaces"},
	{machines: "v2", pkg: "networks"},
	{machines: "v2", pkg: "pod", run: "^(TestRun|TestStop|TestLimits|TestNamespaces|TestSecurityContext|TestHosts|TestPodsOnABridge|TestSubPath|TestEmptyDir|TestLivenessProbe|TestServiceIsReachedFromEverywhere|TestServiceNames|TestSupervisorDies)"},
	{machines: "v2 v1", pkg: "integration", run: "^(TestLife|TestDelete|TestKill|TestList$|TestPs|TestRun|TestExec|TestTerminal|TestHello|TestPodNetwork$|TestLacking|TestPodAddress)"},
	{machines: "arm64", pkg: "integration", run: "^(TestLife|TestDelete|TestPs|TestRun|TestExec|TestTerminalRun|TestHello$)"},
	{machines: "systemd", pkg: "cgroups", run: "Systemd"},
	{machines: "systemd", pkg: "cgroups", run: "Systemd", user: "lab"},
}

// suitesOf are a machine's.
func suitesOf(m machine) (list []suite) {
	for _, s := range suites {
		if slices.Contains(strings.Fields(s.machines), m.name) {
			list = append(list, s)
		}
	}
	return list
}

// choose are the suites of a machine that the command line leaves: of packages,
// which need not be in the table, and with other tests.
func choose(m machine, pkgs, run string) []suite {
	list := suitesOf(m)
	if pkgs != "" {
		var chosen []suite
		for pkg := range strings.SplitSeq(pkgs, ",") {
			pkg = path.Clean(pkg)
			known := slices.DeleteFunc(slices.Clone(list), func(s suite) bool { return s.pkg != pkg })
			if len(known) == 0 {
				known = []suite{{pkg: pkg}}
			}
			chosen = append(chosen, known...)
		}
		list = chosen
	}
	if run != "" {
		for i := range list {
			list[i].run, list[i].skip = run, ""
		}
	}
	return list
}

// name in tables.
func (s suite) name() string {
	if s.user != "" {
		return s.pkg + " as " + s.user
	}
	return s.pkg
}

// says what of the package is run.
func (s suite) says() string {
	text := "all"
	if s.run != "" {
		text = "what matches " + s.run
	}
	if s.skip != "" {
		text += ", without " + s.skip + ": " + s.why
	}
	return text
}

// file is the compiled test's name.
func (s suite) file() string { return strings.ReplaceAll(s.pkg, "/", "_") + ".test" }
