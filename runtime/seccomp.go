package runtime

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	goruntime "runtime"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/internal/program"
	"github.com/peapod/peapod/internal/seccomp"
	"golang.org/x/sys/unix"
)

// filter is the seccomp filter of a container's processes.
type filter struct {
	*seccomp.Filter
	profile *specs.LinuxSeccomp // nil where it was loaded from the state
	agent   *agent              // nil where nobody is notified
}

// newFilter compiles a profile; nil is none.
func newFilter(s *specs.LinuxSeccomp) (*filter, error) {
	f, err := seccomp.Compile(s, goruntime.GOARCH)
	switch {
	case err != nil:
		return nil, fmt.Errorf("linux.seccomp.%w", err)
	case f == nil:
		return nil, nil
	}
	made := &filter{Filter: f, profile: s}
	if f.Notifies() {
		made.agent, err = newAgent(s)
	}
	return made, err
}

// tellUnknown tells about system calls that only the profile knows. Profiles for
// many machines have some.
func (r *Runtime) tellUnknown(f *filter, id string) {
	if f != nil && len(f.Unknown) > 0 {
		r.log().Debug("the seccomp profile names system calls that there are not", "id", id, "names", strings.Join(f.Unknown, " "))
	}
}

// savedFilter is a filter in the state, for processes that are executed later.
type savedFilter struct {
	Code  string `json:"code"` // instructions (struct sock_filter), in base64
	Flags uint32 `json:"flags"`
	Agent *agent `json:"agent,omitempty"`
}

func (f *filter) save() *savedFilter {
	if f == nil {
		return nil
	}
	return &savedFilter{base64.StdEncoding.EncodeToString(f.bytes()), f.Flags, f.agent}
}

// load reads what save wrote.
func (s *savedFilter) load() (*filter, error) {
	if s == nil {
		return nil, nil
	}
	b, err := base64.StdEncoding.DecodeString(s.Code)
	if err != nil || len(b) == 0 || len(b)%8 != 0 {
		return nil, fmt.Errorf("the state's seccomp filter is damaged: delete the container and create it anew")
	}
	f := &seccomp.Filter{Code: make([]unix.SockFilter, len(b)/8), Flags: s.Flags}
	le := binary.LittleEndian
	for i := range f.Code {
		at := b[8*i:]
		f.Code[i] = unix.SockFilter{Code: le.Uint16(at), Jt: at[2], Jf: at[3], K: le.Uint32(at[4:])}
	}
	return &filter{Filter: f, agent: s.Agent}, nil
}

// bytes are the instructions as the kernel takes them.
func (f *filter) bytes() []byte {
	b := make([]byte, 0, 8*len(f.Code))
	for _, i := range f.Code {
		b = binary.LittleEndian.AppendUint16(b, i.Code)
		b = append(b, i.Jt, i.Jf)
		b = binary.LittleEndian.AppendUint32(b, i.K)
	}
	return b
}

// capsForFilter are the capabilities to set: without no_new_privs a filter is
// loaded by a process with CAP_SYS_ADMIN only. It has that until the execve,
// which takes it away: that computes the permitted set anew, of the bounding,
// inheritable and ambient ones alone (capabilities(7)). So a profile need not
// permit what would come between, such as capset itself.
func (id *identity) capsForFilter() capabilities {
	c := id.caps
	if id.filter != nil && !id.NoNewPrivileges {
		c.effective |= 1 << unix.CAP_SYS_ADMIN
		c.permitted |= 1 << unix.CAP_SYS_ADMIN
	}
	return c
}

// load appends the loading of the filter, behind which only execve may follow: a
// profile may forbid everything else.
func (id *identity) load(p *program.Program, answers program.Value) {
	f := id.filter
	if f == nil {
		return
	}
	if !f.reports(p) {
		id.findCommand(p)
	}
	if f.agent != nil {
		id.listen(p, answers)
	} else {
		id.loadInto(p, nil)
	}
	if f.profile != nil {
		p.Note(func(w io.Writer) error { return seccomp.Describe(w, f.profile, goruntime.GOARCH, "# ") })
	}
}

// loadInto appends the call that loads the filter, and returns a listener where
// somebody is notified.
func (id *identity) loadInto(p *program.Program, listener *program.Var) {
	load := id.filter.loader(p)
	failed, loaded := p.Label(), p.Label()
	load().TolerateAll().Else(failed).Then(loaded).Into(listener)
	p.Here(failed)
	p.NotExecuting()
	load().Into(listener) // fails once more, and is reported
	p.Here(loaded)
}

// loader returns what appends the step that loads the filter.
func (f *filter) loader(p *program.Program) func() *program.Step {
	code := p.Bytes(f.bytes(), "")
	fprog := binary.LittleEndian.AppendUint64(nil, uint64(len(f.Code))) // struct sock_fprog
	fprog = binary.LittleEndian.AppendUint64(fprog, code.Address())
	argument := p.Bytes(fprog, fmt.Sprintf("{%d instructions}", len(f.Code)))
	return func() *program.Step {
		return p.Call(unix.SYS_SECCOMP, program.Sym(unix.SECCOMP_SET_MODE_FILTER, "SECCOMP_SET_MODE_FILTER"),
			f.flags(), argument).For("load", "the seccomp filter")
	}
}

// loadForHook appends the loading in a process that executes a hook. Should the
// filter forbid the report of what fails then, the hook's status tells of it.
func (id *identity) loadForHook(p *program.Program) {
	if id.filter != nil {
		id.filter.loader(p)()
	}
}

// flags are those for seccomp(2).
func (f *filter) flags() program.Value {
	var names []string
	for _, flag := range []struct {
		bit  uint32
		name string
	}{
		{unix.SECCOMP_FILTER_FLAG_LOG, "LOG"}, {unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW, "SPEC_ALLOW"},
		{unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, "NEW_LISTENER"}, {1 << 5, "WAIT_KILLABLE_RECV"},
	} {
		if f.Flags&flag.bit != 0 {
			names = append(names, "SECCOMP_FILTER_FLAG_"+flag.name)
		}
	}
	if len(names) == 0 {
		return program.Int(f.Flags)
	}
	return program.Sym(f.Flags, strings.Join(names, "|"))
}

// reports tells whether the process can say under the filter that the execve
// failed.
func (f *filter) reports(p *program.Program) bool {
	write, exit := p.Reporting()
	return f.Permits(goruntime.GOARCH, unix.SYS_WRITE, write...) && f.Permits(goruntime.GOARCH, unix.SYS_EXIT_GROUP, exit)
}

// findCommand appends the search for the command by other means than execve, so
// that its absence is told while that can be: what it then fails for besides,
// such as an interpreter that is missing, ends the process by SIGILL.
func (id *identity) findCommand(p *program.Program) {
	list := candidates(id.Args[0], id.Env)
	found := p.Label()
	for i, file := range list {
		s := p.Call(unix.SYS_FACCESSAT2, program.Sym(^uint64(99), "AT_FDCWD"), p.Str(file), program.Sym(unix.X_OK, "X_OK"),
			program.Sym(unix.AT_EACCESS, "AT_EACCESS")).For(opExecute, id.Args[0]).Then(found)
		if i < len(list)-1 {
			s.Tolerate(unix.ENOENT, unix.ENOTDIR, unix.EACCES)
		}
	}
	p.Here(found)
}
