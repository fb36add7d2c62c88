// Package census finds out what is to be known of one cluster: the version of its API
// server, the kinds that it serves, and what its nodes have and pods request. The agent
// runs it on its own cluster, the hub over the connection to a Push member.
//
// # Trade-offs
//
//   - Nodes and pods are listed in pages and then watched. Of each only a few numbers are
//     kept; a whole one is in memory while it is decoded. Lists are not streamed: a member
//     may send the hub so much in an answer, and a page is an answer, a stream of all pods
//     would be one, too.
//   - The API server leaves out pods that have no node or have finished.
//   - Discovery cannot be watched. It is asked every few minutes, and when somebody has
//     reason to look.
//   - The first report waits until all is known or known to be denied; then there is at
//     most one in each interval, and none if it says nothing new.
//
// # What it must not do
//
//   - Ask for nodes or pods of a member that is one namespace: they are not its own.
//   - Fail. What may not or cannot be read is not known, which is said once.
//   - Round: that depends on what was reported before, which is known where it is written.
package census
