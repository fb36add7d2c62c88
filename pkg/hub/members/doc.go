// Package members knows which members exist, whether they can be reached, and
// holds the live connection to each Push member.
//
// It has two halves. The Provider owns the connections: one goroutine tree per
// member and credential, which probes the member's API server, opens a Session
// when it answers and ends it completely when it stops answering. The
// reconciler reads MemberClusters, hands credentials to the Provider, keeps the
// mailbox of each Pull member, and is the only writer of MemberCluster.status.
//
// # Trade-offs
//
//   - A Session lives only while the member answers. A member that falls silent
//     loses its caches and pays for new lists when it returns; in exchange
//     nothing ever reads a cache that nobody keeps up to date.
//   - Liveness is a probe every 10 s, HTTP/2 pings and lost TCP connections, not
//     the outcome of user requests: a request that fails is a reason to look
//     (Session.Suspect), never a verdict.
//   - A heartbeat of a Pull member is judged by the hub's own clock, as leader
//     election does: what counts is when a renewal was seen, not what time it
//     claims.
//
// # What it must not do
//
//   - Delete anything, on a member or on the hub. A MemberCluster that is gone
//     ends a connection; mailbox, Works and workloads stay.
//   - Write in steady state or after a restart: a status is patched only when
//     its content differs.
//   - Keep the content of a Secret in a cache, a message or a log.
//   - Hold a lock across I/O, or let one member delay another.
//   - Assume that this process holds every member.
package members
