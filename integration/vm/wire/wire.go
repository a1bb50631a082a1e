// Package wire is what the host and its virtual machines tell each other: the
// host a plan, in a file of the machine's root, and the machine events, on a
// virtual serial port.
package wire

// Where things are in a machine's root.
const (
	Dir      = "/lab"
	PlanFile = Dir + "/plan.json"
	Guest    = Dir + "/guest"    // the program of the machine's side
	Tests    = Dir + "/tests"    // compiled tests
	Programs = Dir + "/programs" // what tests run, by testkit's names
	Source   = Dir + "/src"      // the module's files that tests read

	// Root is the directory of the initramfs that becomes the machine's root,
	// Modules has the kernel's, whose order is that of their names.
	Root    = "/root"
	Modules = "/modules"

	// Port is the name of the virtual serial port.
	Port = "lab"

	// Disk is the serial number of the disk that tests may write to.
	Disk = "scratch"
)

// Plan is what a machine is to do.
type Plan struct {
	// Cgroups are those that are mounted: v1 or v2; systemd chooses itself.
	Cgroups string
	// Init is what becomes process 1, "" the lab's own program.
	Init   string
	Shell  bool
	Suites []Suite
}

// Suite is a run of one package's tests.
type Suite struct {
	Name string
	// User runs it, in systemd as a unit of the user's own manager; "" is root.
	User string
	Dir  string
	Args []string // the compiled test first
	Env  []string
}

// Event is a line of JSON that a machine writes.
type Event struct {
	Kind   Kind
	Text   string `json:",omitempty"` // a line of output, or what went wrong
	Status int    `json:",omitempty"` // of a suite that has ended; 128 and the signal's number
}

// Kind says what an event is about.
type Kind string

// The kinds of events.
const (
	Begin   Kind = "begin"   // a suite, whose name is in Text
	Output  Kind = "output"  // a line of it
	End     Kind = "end"     // of a suite
	Trouble Kind = "trouble" // with the machine; the suites go on
	Done    Kind = "done"    // all suites are
)
