// Package delivery carries persisted decisions to the members and brings back
// what the members report. One request is one app on one member.
//
// It acts only on rows it has read back from the hub's cache, and never waits
// for a member: a request takes a slot of its member or is parked, and parked
// requests come back when a slot is free, the member returns, or its cache has
// synced. So one bad member costs its own apps and nobody else's.
//
// For a Push member it runs the apply engine over the member's connection; for a
// Pull member it keeps a Work in the member's mailbox. It writes no status: a
// Report per app and member goes to the Reports store, from where package app
// takes it.
package delivery
