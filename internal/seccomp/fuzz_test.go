package seccomp

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// choice makes a profile of what the fuzzer gives: each byte decides something.
type choice struct{ left []byte }

func (c *choice) of(n int) int {
	if len(c.left) == 0 {
		return 0
	}
	b := c.left[0]
	c.left = c.left[1:]
	return int(b) % n
}

// value is one at which comparisons of 64 bits by halves may go wrong.
func (c *choice) value() uint64 {
	b := [8]byte{}
	switch c.of(4) {
	case 0:
		return uint64(c.of(256))
	case 1:
		return uint64(c.of(256)) << 32
	case 2:
		return uint64(c.of(256)) - 128
	}
	for i := range b {
		b[i] = byte(c.of(256))
	}
	return binary.LittleEndian.Uint64(b[:])
}

// names has calls that architectures make in different ways, and an unknown one.
var names = []string{
	"read", "write", "socket", "socketcall", "ipc", "semop", "shmget", "send", "clone", "personality", "openat2", "futex_waitv",
	"rt_sigaction", "preadv2", "ptrace", "set_tls", "cacheflush", "_llseek", "chown32", "no_such_call", "rseq_slice_yield",
}

func (c *choice) action() (specs.LinuxSeccompAction, *uint) {
	a := actions[c.of(len(actions))]
	errno := uint(c.of(256))
	if (a.name == specs.ActErrno || a.name == specs.ActTrace) && c.of(2) == 0 {
		return a.name, &errno
	}
	return a.name, nil
}

func (c *choice) profile() *specs.LinuxSeccomp {
	s := &specs.LinuxSeccomp{ListenerPath: "/run/agent.sock"}
	s.DefaultAction, s.DefaultErrnoRet = c.action()
	for _, a := range []specs.Arch{specs.ArchX32, specs.ArchX86, specs.ArchX86_64, specs.ArchARM, specs.ArchAARCH64, specs.ArchS390X} {
		if c.of(2) == 0 {
			s.Architectures = append(s.Architectures, a)
		}
	}
	for range c.of(12) {
		r := specs.LinuxSyscall{}
		r.Action, r.ErrnoRet = c.action()
		for range 1 + c.of(3) {
			if c.of(4) == 0 {
				r.Names = append(r.Names, table[(c.of(256)*2+c.of(2))%len(table)].name)
			} else {
				r.Names = append(r.Names, names[c.of(len(names))])
			}
		}
		for range c.of(4) {
			r.Args = append(r.Args, specs.LinuxSeccompArg{
				Index: uint(c.of(6)), Op: operators[c.of(len(operators))].name, Value: c.value(), ValueTwo: c.value(),
			})
		}
		s.Syscalls = append(s.Syscalls, r)
	}
	return s
}

// What is compiled decides as the rules say, one by one.
func FuzzCompile(f *testing.F) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 0))
		b := make([]byte, 20+20*seed)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		f.Add(b)
	}
	all := numbersOf()
	f.Fuzz(func(t *testing.T, b []byte) {
		c := &choice{b}
		goarch := []string{"amd64", "arm64"}[c.of(2)]
		s := c.profile()
		filter := mustCompile(t, s, goarch)
		values := edges(s)
		random := rand.New(rand.NewPCG(uint64(len(b)), 7))
		check := func(audit, nr uint32, rounds int) {
			d := &Data{Number: nr, Audit: audit}
			for range rounds {
				for j := range d.Arguments {
					d.Arguments[j] = values[random.IntN(len(values))]
				}
				if nr == 102 || nr == 117 {
					d.Arguments[0] = uint64(random.IntN(30)) | uint64(random.IntN(2))<<16
				}
				mustAgree(t, filter, s, goarch, d)
			}
		}
		for _, audit := range audits(goarch) {
			for range 16 {
				check(audit, all[random.IntN(len(all))], 1)
			}
			check(audit, 102, 3)
			check(audit, 117, 3)
			for _, r := range s.Syscalls {
				for _, name := range r.Names {
					if call := find(name); call != nil {
						for _, nr := range call.number {
							check(audit, uint32(nr), 2)
						}
					}
				}
			}
		}
	})
}
