// Package testkit is what the tests of several packages share: the check that a
// run leaves nothing behind, polling, and the program that test containers run.
// Only tests import it.
package testkit
