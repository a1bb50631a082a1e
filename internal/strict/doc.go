// Package strict decodes JSON and YAML into Go structs and refuses whatever it
// does not know: unknown fields, duplicate keys, values of the wrong type,
// data after the end. Each error names file, line, column and field, what was
// found and what was expected, and all errors of a file are collected rather
// than only the first.
//
// Two front ends, for JSON and YAML, make the same tree of nodes with
// positions; one decoder fills structs from it by their json tags. The tree
// stays available, so that a check that comes much later (is that port free?)
// can still name the line that asked for it.
//
// DecodeExtensible is the same decoder for JSON formats that demand the
// opposite, and does as encoding/json does, only sooner; Append is its reverse.
//
// The package needs no privileges and touches no files. It is not meant for
// untrusted input of any size: MaxSize and MaxDepth are limits for files that
// people write by hand.
package strict
