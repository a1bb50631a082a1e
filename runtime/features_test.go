package runtime

import (
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// What is said to be supported is taken by the checks, and what is not is not.
func TestFeatures(t *testing.T) {
	f := Features()
	for _, kind := range f.Linux.Namespaces {
		spec := planSpec()
		without(spec, specs.LinuxNamespaceType(kind))
		spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.LinuxNamespaceType(kind)})
		if kind == "user" {
			spec.Linux.UIDMappings = []specs.LinuxIDMapping{{Size: 1}}
			spec.Linux.GIDMappings = spec.Linux.UIDMappings
		}
		if _, err := (&Runtime{}).Plan("box", &CreateOptions{Spec: spec}); err != nil {
			t.Errorf("namespace %s: %v", kind, err)
		}
	}
	for _, option := range f.MountOptions {
		spec := planSpec()
		m := specs.Mount{Destination: "/x", Type: "tmpfs", Options: []string{option}}
		if !slices.Contains([]string{"tmpcopyup", "bind", "rbind"}, option) {
			m = specs.Mount{Destination: "/x", Source: "/", Options: []string{"bind", option}}
		}
		if option == "idmap" || option == "ridmap" {
			m.UIDMappings = []specs.LinuxIDMapping{{Size: 1}}
			m.GIDMappings = m.UIDMappings
		}
		if m.Type == "tmpfs" && option != "tmpcopyup" {
			m.Source = "/"
		}
		spec.Mounts = append(spec.Mounts, m)
		if option == "remount" {
			spec.Mounts[len(spec.Mounts)-1].Source = ""
		}
		if _, err := (&Runtime{}).Plan("box", &CreateOptions{Spec: spec}); err != nil {
			t.Errorf("option %s: %v", option, err)
		}
	}
	for _, mode := range f.Linux.MemoryPolicy.Modes {
		if _, err := parseMemoryPolicy(&specs.LinuxMemoryPolicy{Mode: specs.MemoryPolicyModeType(mode)}); err != nil {
			t.Error(err)
		}
	}
	s := f.Linux.Seccomp
	for list, want := range map[*[]string][]string{&s.Actions: {"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"}, &s.Operators: {"SCMP_CMP_MASKED_EQ"}, &s.Archs: {"SCMP_ARCH_X86_64"}, &s.SupportedFlags: {"SECCOMP_FILTER_FLAG_LOG"}} {
		for _, w := range want {
			if !slices.Contains(*list, w) {
				t.Errorf("no %s in %q", w, *list)
			}
		}
	}
	if slices.Contains(s.Actions, "SCMP_ACT_NOTIFY") == (newFilterError() != nil) {
		t.Errorf("actions %q", s.Actions)
	}
}

func newFilterError() error {
	_, err := newFilter(profile(func(s *specs.LinuxSeccomp) { s.Syscalls[0].Action = specs.ActNotify }))
	return err
}
