// Package seccomp compiles the OCI's seccomp profiles (runtime-spec,
// "linux.seccomp") to programs of classic BPF (seccomp(2)). It is pure: nothing
// touches the kernel, and what it returns depends on its arguments alone.
//
// What a profile means is what runc and libseccomp make of it, since profiles
// were written and tested with these:
//
//   - names that no architecture has are left out;
//   - of the rules for a system call the first without conditions counts, then,
//     in the profile's order, those with conditions;
//   - conditions of a rule hold all together, but two on the same argument are
//     alternatives, and then all of the rule's are;
//   - 32-bit architectures have arguments of 32 bits;
//   - on x86, rules for the calls of socketcall(2) and ipc(2) hold there too.
//     The arguments of these calls are in memory, where no filter sees them: of
//     a rule's conditions that on the first argument is lost;
//   - calls of an architecture that the profile does not name kill the thread;
//   - calls that are newer than any that the profile names for their
//     architecture get ENOSYS, so that programs try an older one: see newest.
//
// A number is found by binary search over ranges of numbers with the same
// verdict: with the engines' default profile that is some seven comparisons.
package seccomp

//go:generate go run ./generate
