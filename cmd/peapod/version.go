package main

import (
	"fmt"
	goruntime "runtime"
	"runtime/debug"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// version is set by the Makefile (-X main.version=…).
var version string

// versionText has the lines of `runc --version`, which engines show.
func versionText() string {
	return fmt.Sprintf("peapod version %s\nspec: %s\ngo: %s\n", versionName(), specs.Version, goruntime.Version())
}

// versionName is what the Makefile said, else what `go install` knows.
func versionName() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	name := strings.TrimPrefix(info.Main.Version, "v")
	if name == "" || name == "(devel)" {
		name = "devel"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 && !strings.Contains(name, s.Value[:12]) {
			name += "-" + s.Value[:12]
		}
	}
	return name
}
