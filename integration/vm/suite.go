package main

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
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
	env      string // a variable, or none
}

// suites are what is tested where. Under emulation a process starts in 8 ms, not
// in 0.5: what is left out is what takes long and has nothing to do with the
// kernel.
var suites = []suite{
	{machines: "v2 arm64", pkg: "cgroups"},
	{machines: "v1", pkg: "cgroups", skip: "^TestUpdateDevices$", why: "Linux 6.1 locks up, in get_signal, where a group of v1 is frozen while its processes fork (seen with 6.1.192; the test passes on 6.18 with v1)"},
	{machines: "v2 v1", pkg: "runtime", skip: "^(TestManyAtOnce|TestEnteringIsNotTraced|TestWorkingDirectoryIsInside|TestPlainCgroup2)$", why: "races by the hundred, and what the machine v2 is for"},
	{machines: "arm64", pkg: "runtime", run: "^(TestDefaults|TestLife|TestExec|TestKillAll|TestUserNamespace|TestTerminal|TestLinksInImage|TestSetupHasNothingOfParent)$"},
	{machines: "v2 v1 arm64", pkg: "internal/program"},
	{machines: "v2 v1", pkg: "rootfs"},
	{machines: "v2 v1", pkg: "namespaces", skip: "^TestThousandSets$", why: "thousands of namespaces"},
	{machines: "v2", pkg: "networks"},
	// Not the probes: they wait for a second at most.
	{machines: "v2", pkg: "pod", run: "^(TestRun|TestStop|TestLimits|TestNamespaces|TestSecurityContext|TestHosts|TestPodsOnABridge|TestSubPath|TestEmptyDir|TestServiceIsReachedFromEverywhere|TestServiceNames|TestSupervisorDies)"},
	{machines: "v2 v1", pkg: "integration", run: "^(TestLife|TestDelete|TestKillSignals|TestKillWithout|TestList$|TestPs|TestRun|TestExec|TestTerminal|TestHello|TestPodNetwork$|TestLacking|TestPodAddress|TestRootless|TestServiceRedirect|TestServiceWithoutRedirect)"},
	{machines: "v2", pkg: "integration", run: "^(TestKillStopped|TestZombieIsStopped|TestUpdateResources|TestNotify.*|TestStartContainerHook|TestForeign(WithoutGroups|Pod|KillAll)|TestPause|TestForkBomb|TestMemoryLimit|TestPodOOMKilled|TestPodOOMKilledAtOnce|TestCPUQuota|TestCPUList|TestWriteLimit|TestDeviceRules|TestOnePid|TestManyGroups)$", env: "PEAPOD_TEST_CONTAINERS=64"},
	{machines: "v1", pkg: "integration", run: "^(TestCPUQuota|TestWriteLimit)$"},
	{machines: "v2", pkg: "integration", run: "^TestDelegated"},
	{machines: "v2", pkg: "integration", run: "^(TestCheckpoint|TestRestoreTerminal$)"}, // with Debian 12's criu
	{machines: "arm64", pkg: "integration", run: "^(TestLife|TestDelete|TestPs|TestRun|TestExec|TestTerminalRun|TestHello$)"},
	{machines: "backports", pkg: "cgroups"},
	{machines: "backports", pkg: "internal/program"},
	{machines: "old", pkg: "cgroups", skip: "^TestCpuset$", why: "before Linux 6.3 and 6.1.25 a process that is born in a group has not its cpuset"},
	{machines: "old", pkg: "integration", run: "^(TestOldKernel|TestProxyForwards)$"},
	{machines: "systemd", pkg: "cgroups"},
	{machines: "systemd", pkg: "integration", run: "^(TestLife|TestPs|TestRootless|TestHello$)"},
	{machines: "systemd", pkg: everyPackage, run: "Systemd"},
	{machines: "systemd", pkg: everyPackage, run: "SystemdUser", user: "lab"},
}

// everyPackage stands for each that has a test whose name has what run says in
// it.
const everyPackage = "*"

// suitesOf are a machine's. root is the module's directory.
func suitesOf(root string, m machine) (list []suite, err error) {
	for _, s := range suites {
		if !slices.Contains(strings.Fields(s.machines), m.name) {
			continue
		}
		if s.pkg != everyPackage {
			list = append(list, s)
			continue
		}
		found, err := packagesWith(root, s.run)
		if err != nil {
			return nil, err
		}
		for _, s.pkg = range found {
			list = append(list, s)
		}
	}
	return list, nil
}

// packagesWith lists the directories of packages with tests of such a name.
func packagesWith(root, name string) (list []string, err error) {
	test := regexp.MustCompile(`(?m)^func Test\w*` + regexp.QuoteMeta(name))
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && leftOut(root, path) {
			return fs.SkipDir
		}
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil || !strings.HasSuffix(path, "_test.go") || slices.Contains(list, dir) {
			return err
		}
		data, err := os.ReadFile(path)
		if test.Match(data) {
			list = append(list, dir)
		}
		return err
	})
	return list, err
}

// choose are the suites of a machine that the command line leaves: of packages,
// which need not be in the table, and with other tests.
func choose(list []suite, pkgs, run string) []suite {
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
	list = slices.Clone(list)
	if run == "" {
		return list
	}
	var chosen []suite
	for _, s := range list { // parts of a package's tests become the same
		s.run, s.skip, s.why = run, "", ""
		at := slices.IndexFunc(chosen, func(c suite) bool { return c.pkg == s.pkg && c.user == s.user })
		if at < 0 {
			chosen = append(chosen, s)
		} else if s.env != "" {
			chosen[at].env = s.env
		}
	}
	return chosen
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
