// Package fields answers, from what server-side apply records about an object,
// which fields of a manifest are no longer ours: drift, without comparing
// values.
//
// # The record
//
// metadata.managedFields has, for each field manager, a tree of the fields that
// it set (FieldsV1, KEP-555). When somebody else changes a value, its path
// leaves our tree; what others add, and what defaulting or a mutating webhook
// fills in, is not in it. So a field of the manifest has drifted if our tree
// does not cover it. The schema need not be known, the tree shows it:
//
//	f:replicas            a field of a map
//	k:{"name":"web"}      the element of a list map, by its key fields
//	v:"x"                 an element of a set
//	i:0                   an element of a list, by its index
//	.                     the element itself, beside its fields
//	{}                    the end of a path: a value, or a map or list that is
//	                      owned as a whole (atomic)
//
// Values say less: the API server adds defaults, writes quantities in its own
// way (1000m is 1), and never shows some fields again (a Secret's stringData).
//
// # What is lost
//
// Lost names leaves of the manifest, and these larger things:
//
//   - A list that the tree does not know is one path if its elements have no
//     names: it is atomic, or nothing of it is left, and to send half of it would
//     replace the whole.
//   - An empty map or list, or a null, counts only inside a list element that is
//     lost. Elsewhere it leaves the tree as soon as somebody else puts something
//     into it, which is no drift, or the API server may have dropped it.
//   - The key fields of an element that the tree has are never lost.
//
// # What an apply cannot undo
//
// A changed key of a list element makes another element of it, which belongs to
// whoever changed it. An apply makes ours again and leaves theirs, and if the API
// server does not accept both, it fails each time. TakeOver edits the record of such
// a list, so that the next apply removes what we do not list.
//
// # What it cannot see
//
//   - An emptyDir: {} that was replaced by another kind of volume, for the reason
//     above.
//   - A map of maps without a schema of their own (additionalProperties, fields
//     that are preserved though unknown) whose inner map has lost all its fields:
//     what is left in the tree looks like an atomic map.
//   - A change of data that was set through a write-only field (stringData).
//
// # Cost
//
// All functions are pure and keep nothing. Lost depends on two strings only, of
// which the second is the same object in memory for all members that have the
// same tree, so a caller may remember the answer by (content hash, tree). The
// package must not grow a cache of its own, know kinds, or compare values to
// find drift.
package fields
