package validation

// failures are the programs that do not pass, with the reason: docs/oci.md has
// them, and how runc and crun do.
var failures = map[string]string{}
