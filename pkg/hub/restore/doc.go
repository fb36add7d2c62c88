// Package restore notices that the hub is older than its members, as after a
// restore from a backup, and keeps it from undoing what has happened since.
//
// A hub that finds evidence of that holds: it changes nothing on any member, not
// even by a creation or a deletion, until a person releases it. Evidence comes
// from package delivery, which reads the stamps of members' objects, and from the
// hub's own identity, which knows the cluster it was made in. A release begins a
// new epoch, and what was stamped in an earlier one no longer counts as newer.
//
// The hold is in the ConfigMap of the hub's identity, so that it outlives the
// process and a person has one place to look at and to annotate. That ConfigMap
// is read when a process becomes the leader, and then only while the hub is held.
//
// Every replica also watches that the API server does not go back while it runs,
// and ends if it does: its caches are of a history that is no more.
//
// The package decides nothing about apps and contacts no member.
package restore
