package seccomp

import (
	"math"
	"math/rand/v2"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// audits are the architectures that a machine's processes can use, and one that
// they cannot.
func audits(goarch string) []uint32 {
	if goarch == "amd64" {
		return []uint32{unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_AARCH64}
	}
	return []uint32{unix.AUDIT_ARCH_AARCH64, unix.AUDIT_ARCH_ARM, unix.AUDIT_ARCH_X86_64}
}

// numbersOf are all that may matter: those of all calls, and what is around.
func numbersOf() (list []uint32) {
	for nr := uint32(0); nr < 600; nr++ {
		list = append(list, nr, x32Bit+nr)
	}
	for nr := uint32(0xf0000 - 2); nr < 0xf0000+8; nr++ {
		list = append(list, nr)
	}
	return append(list, x32Bit-1, math.MaxInt32, 1<<31, math.MaxUint32-1, math.MaxUint32)
}

// edges are values of arguments at which conditions of the profile change.
func edges(s *specs.LinuxSeccomp) (list []uint64) {
	list = []uint64{0, 1, math.MaxUint32, math.MaxUint64}
	for _, r := range s.Syscalls {
		for _, c := range r.Args {
			for _, v := range []uint64{c.Value, c.ValueTwo, c.Value & c.ValueTwo} {
				list = append(list, v, v-1, v+1, ^v, v^1<<32, v^1<<31, v<<32, v>>32)
			}
		}
	}
	return list
}

// mustAgree compares a filter with the reference on one call.
func mustAgree(t *testing.T, f *Filter, s *specs.LinuxSeccomp, goarch string, d *Data) (steps int) {
	t.Helper()
	ret, steps, err := f.Evaluate(d)
	if err != nil {
		t.Fatal(err)
	}
	if want := reference(s, goarch, d); action(ret) != want {
		t.Fatalf("%s: call %d (%#x) of %#x with %#x: %v, want %v", goarch, d.Number, d.Number, d.Audit, d.Arguments, action(ret), want)
	}
	return steps
}

func mustCompile(t testing.TB, s *specs.LinuxSeccomp, goarch string) *Filter {
	t.Helper()
	f, err := Compile(s, goarch)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.check(); err != nil {
		t.Fatal(err)
	}
	return f
}

// The kernel's own check (bpf_check_classic): every jump stays inside, and the
// end is the end.
func (f *Filter) check() error {
	_, _, err := f.Evaluate(&Data{})
	return err
}

func TestDefaultProfile(t *testing.T) {
	for _, goarch := range []string{"amd64", "arm64"} {
		for _, caps := range [][]string{nil, {"CAP_CHOWN", "CAP_SYS_CHROOT"}, {"CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_BPF"}} {
			s := Default(goarch, caps)
			f := mustCompile(t, s, goarch)
			if len(f.Code) > 700 {
				t.Errorf("%s with %v: %d instructions", goarch, caps, len(f.Code))
			}
			longest := 0
			values := edges(s)
			random := rand.New(rand.NewPCG(1, 2))
			for _, audit := range audits(goarch) {
				for _, nr := range numbersOf() {
					for i := range 2 {
						d := &Data{Number: nr, Audit: audit}
						for j := range d.Arguments {
							d.Arguments[j] = values[(i+random.IntN(len(values)))%len(values)]
						}
						longest = max(longest, mustAgree(t, f, s, goarch, d))
					}
				}
			}
			t.Logf("%s with %v: %d instructions, at most %d a call, left out: %v", goarch, caps, len(f.Code), longest, f.Unknown)
			if longest > 40 {
				t.Errorf("%s: a call takes %d instructions", goarch, longest)
			}
		}
	}
}

func TestDefaultProfileMeans(t *testing.T) {
	call := func(name string, args ...uint64) *Data {
		d := &Data{Number: uint32(find(name).number[amd64]), Audit: unix.AUDIT_ARCH_X86_64}
		copy(d.Arguments[:], args)
		return d
	}
	const errno = unix.SECCOMP_RET_ERRNO
	for _, c := range []struct {
		caps []string
		data *Data
		want uint32
	}{
		{nil, call("read"), unix.SECCOMP_RET_ALLOW},
		{nil, call("execve"), unix.SECCOMP_RET_ALLOW},
		{nil, call("mount"), errno | uint32(unix.EPERM)},
		{[]string{"CAP_SYS_ADMIN"}, call("mount"), unix.SECCOMP_RET_ALLOW},
		{nil, call("clone", uint64(unix.SIGCHLD)), unix.SECCOMP_RET_ALLOW},
		{nil, call("clone", unix.CLONE_NEWUSER), errno | uint32(unix.EPERM)},
		{nil, call("clone3"), errno | uint32(unix.ENOSYS)},
		{[]string{"CAP_SYS_ADMIN"}, call("clone3"), unix.SECCOMP_RET_ALLOW},
		{nil, call("socket", unix.AF_INET), unix.SECCOMP_RET_ALLOW},
		{nil, call("socket", unix.AF_VSOCK), errno | uint32(unix.EPERM)},
		{nil, call("personality", 0xffffffff), unix.SECCOMP_RET_ALLOW},
		{nil, call("personality", 0xffffffffffffffff), errno | uint32(unix.EPERM)},
		{nil, &Data{Number: 1000, Audit: unix.AUDIT_ARCH_X86_64}, errno | uint32(unix.ENOSYS)},
		{nil, &Data{Number: 1, Audit: unix.AUDIT_ARCH_ARM}, unix.SECCOMP_RET_KILL_THREAD},
	} {
		f := mustCompile(t, Default("amd64", c.caps), "amd64")
		if ret, _, _ := f.Evaluate(c.data); ret != c.want {
			t.Errorf("with %v, call %d %#x: %v, want %v", c.caps, c.data.Number, c.data.Arguments, action(ret), action(c.want))
		}
	}
}

// An architecture that the profile does not name is closed, x32 among them.
func TestOnlyNamedArchitectures(t *testing.T) {
	s := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
	f := mustCompile(t, s, "amd64")
	for _, c := range []struct {
		data Data
		want uint32
	}{
		{Data{Number: 1, Audit: unix.AUDIT_ARCH_X86_64}, unix.SECCOMP_RET_ALLOW},
		{Data{Number: x32Bit | 1, Audit: unix.AUDIT_ARCH_X86_64}, unix.SECCOMP_RET_KILL_THREAD},
		{Data{Number: math.MaxUint32, Audit: unix.AUDIT_ARCH_X86_64}, unix.SECCOMP_RET_ALLOW},
		{Data{Number: 1, Audit: unix.AUDIT_ARCH_I386}, unix.SECCOMP_RET_KILL_THREAD},
	} {
		if ret, _, _ := f.Evaluate(&c.data); ret != c.want {
			t.Errorf("call %#x of %#x: %v, want %v", c.data.Number, c.data.Audit, action(ret), action(c.want))
		}
	}
}

// Many rules with conditions need jumps over more than 255 instructions, and
// too many are refused.
func TestLongPrograms(t *testing.T) {
	long := func(calls int) *specs.LinuxSeccomp {
		s := &specs.LinuxSeccomp{DefaultAction: specs.ActKillProcess, Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32}}
		for i := range calls {
			errno := uint(i % 4096)
			s.Syscalls = append(s.Syscalls, specs.LinuxSyscall{
				Names: []string{table[i*7%len(table)].name}, Action: specs.ActErrno, ErrnoRet: &errno,
				Args: []specs.LinuxSeccompArg{{Index: uint(i % 6), Value: uint64(i) << 30, Op: specs.OpGreaterThan}, {Index: uint(i+1) % 6, Value: uint64(i), Op: specs.OpNotEqual}},
			})
		}
		return s
	}
	s := long(120)
	f := mustCompile(t, s, "amd64")
	if len(f.Code) < 2000 {
		t.Errorf("the program has %d instructions only", len(f.Code))
	}
	values := edges(s)
	for _, audit := range audits("amd64") {
		for i, nr := range numbersOf() {
			d := &Data{Number: nr, Audit: audit}
			for j := range d.Arguments {
				d.Arguments[j] = values[(i*31+j*17)%len(values)]
			}
			mustAgree(t, f, s, "amd64", d)
		}
	}
	if _, err := Compile(long(400), "amd64"); err == nil {
		t.Error("a program of more than 4096 instructions is compiled")
	} else {
		t.Log(err)
	}
}

func BenchmarkCompile(b *testing.B) {
	s := Default("amd64", []string{"CAP_CHOWN"})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(s, "amd64"); err != nil {
			b.Fatal(err)
		}
	}
}
