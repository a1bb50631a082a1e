// Package validation runs the OCI's own validation programs, those of
// github.com/opencontainers/runtime-tools, against the built binary. They are the
// tools of a module of its own, so that nobody else downloads them.
package validation
