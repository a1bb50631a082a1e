// Package rootfs compiles the root file system of a container: the OCI's root,
// mounts, devices, masked and read-only paths become steps of a program.
//
// Two halves work together. Open, in the parent, opens what comes from the host
// (the image, devices, what the container's user may not open, and what
// descriptors stand for) as detached trees. Compile writes the steps which open the
// other sources of bind mounts and make the file systems, in the order of the
// mounts, and attach all of it. Every target is opened below the root by openat2(2)
// with RESOLVE_IN_ROOT and RESOLVE_NO_MAGICLINKS and mounted on by descriptor: a
// symbolic link in an image cannot lead a mount outside.
//
// Open needs CAP_SYS_ADMIN and Linux 5.12 (mount_setattr); Compile needs
// nothing. Where only a few bind mounts in the own namespace are wanted,
// mount(2) is simpler.
package rootfs
