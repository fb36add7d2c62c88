// Package agent is the agent of a Pull member. It reads its own mailbox on the
// hub, runs the apply engine on its own cluster, and reports in the status of
// its Works. It needs one outgoing connection, to the hub.
package agent
