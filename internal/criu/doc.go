// Package criu drives the program criu (criu.org), which saves processes to
// files and makes them anew from these, by its protocol: messages of protobuf
// over a socket of which the program, run as "criu swrk FD", has one end.
//
// The messages are go-criu's. Its package of the same name is not used: it
// starts the program in the caller's cgroup and mount namespace, with the
// caller's standard files, and cannot receive descriptors.
package criu
