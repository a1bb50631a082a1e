// Package rootfs compiles the root file system of a container: the OCI's root,
// mounts, devices, masked and read-only paths become steps of a program.
//
// Two halves work together. Open, in the parent, opens what comes from the
// host (the image, the sources of bind mounts, devices) as detached trees, so
// that the process of the container never needs a host path. Compile writes
// the steps which attach these trees and make the other file systems. Every
// target is opened below the root by openat2(2) with RESOLVE_IN_ROOT and
// RESOLVE_NO_MAGICLINKS and mounted on by descriptor: a symbolic link in an
// image cannot lead a mount outside.
//
// Open needs CAP_SYS_ADMIN and Linux 5.12 (mount_setattr); Compile needs
// nothing. Where only a few bind mounts in the own namespace are wanted,
// mount(2) is simpler.
package rootfs
