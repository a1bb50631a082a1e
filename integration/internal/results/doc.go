// Package results is what the benchmarks share: tables of what was measured in
// turns, with medians, ratios and bars that are to be met, as Markdown and as a
// chart; and what a report says of the machine.
package results
