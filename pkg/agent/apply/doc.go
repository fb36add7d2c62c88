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
//   - An object whose cached content hash is the wanted one, and whose fields are
//     all still ours, costs no request. A field is ours as long as the API server
//     says so in managedFields: values are never compared, so neither defaults
//     nor a mutating webhook look like drift.
//   - What somebody changed is corrected or reported, as the app's policy says; a
//     field that is changed back each time, or whose correction is refused, is
//     corrected less and less often.
//   - Lists of which somebody has changed a key are taken over if nothing else makes
//     an apply valid.
//   - An object that carries a newer stamp than the order is not touched: the hub
//     that orders was restored from a backup.
//   - Deletion follows a live read that confirms hub ID, member and app UID, and
//     carries the UID and resourceVersion it read.
//   - Kinds other than Service and Deployment are watched from their first use,
//     which is recorded in a ConfigMap on the cluster before the first object is
//     made: an object of a kind that nobody watches would be left behind. A kind
//     that the cluster no longer finds is not watched until it serves it again.
//   - Namespaces are made when the API server says that one is missing, and are
//     never removed.
//
// The package must not decide what belongs on a cluster, nor retry: it does one
// pass and says per object what happened and why.
package apply
