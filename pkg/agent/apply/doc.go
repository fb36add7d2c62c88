// Package apply puts a set of manifests on one cluster and takes it off again.
// The agent runs it on its own cluster; the hub runs the same code over the
// client of a Push member.
//
// How it writes:
//
//   - Always by server-side apply with one field manager and the full intent, so
//     that a field which is no longer wanted really goes.
//   - A first apply carries a resourceVersion that only a creation passes. It can
//     therefore never seize an object that the label-filtered cache does not show.
//   - Every later apply carries the object's UID, so it can never recreate.
//   - An object whose cached content hash is the wanted one costs no request.
//   - Deletion follows a live read that confirms hub ID, member and app UID, and
//     carries the UID and resourceVersion it read.
//   - Namespaces are made when the API server says that one is missing, and are
//     never removed.
//
// The package must not decide what belongs on a cluster, nor retry: it does one
// pass and says per object what happened and why.
package apply
