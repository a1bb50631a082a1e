// Package cgroups makes, limits, empties and removes control groups, in one
// shape for hosts with cgroup v2, v1 and both (hybrid).
//
// A [Group] is one path in every mounted hierarchy. [New] translates the
// resources of an OCI spec for the hierarchy that has the controller; what only
// v1 has, or what the host has no controller for, is an error before anything is
// made, unless [Make] is told to do its best.
//
// A process gets into a group by being born there:
//
//   - v2: [Group.Descriptor] for CLONE_INTO_CGROUP. This costs nothing.
//   - v1: [Group.Enter], around the start of the process.
//   - hybrid: both. Callers that always do both need not ask for the mode.
//
// [Group.Add] moves a process that runs already, which the kernel makes slow.
// [Group.Kill] and [Group.Delete] leave nothing, whatever the group's processes
// made below it. [Group.Freeze] stops processes and [Group.Update] changes
// limits while they run.
//
// # Privileges
//
// Root, or a user to whom a part of the hierarchy is delegated (owner of the
// directory and its cgroup.procs, cgroup.subtree_control); [FindHome] finds that, or
// their systemd. Device rules on v2
// need CAP_BPF and CAP_NET_ADMIN (or CAP_SYS_ADMIN); in a user namespace they
// are left out, since no device node can be made there.
//
// # When not to use it
//
// Where systemd manages the part of the tree a path does not do: give a scope
// there (see [IsScope]), or a path below a unit that has Delegate=yes.
//
// Nothing here logs, changes the calling thread or holds descriptors. For an ordinary
// user New may move the calling process, see [StepAside].
package cgroups
