// Package join brings a cluster to a hub: it makes join tokens, and what has to be
// installed on the cluster. The plugin kubectl-myapp uses it, and so do tests.
//
// It works with the rights of the person who runs it. What a cluster that joins may do
// is decided by the hub's API server; see package identity of the agent.
package join
