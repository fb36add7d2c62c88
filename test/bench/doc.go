// Command bench measures what the hub costs, beside the least that a program can
// do for the same apps on the same API servers (C0, see floor).
//
// Scenarios that the floor could take no part in are the hub's alone, and have
// absolute goals: rest, a black hole, a restart, readiness that flips, what one more
// member or object costs. Push and Pull members have a fleet each, one after the
// other.
//
// Both go through the same proxies to the same etcd, which writes through to the
// disk, and wait for the same simulator of readiness; runs are interleaved. The
// hub keeps running, idle, while C0 works, and its cost then is in nobody's
// figures; so are the requests of this process, which go past the proxies.
//
//	go run ./test/bench -only S1,S3 -runs 3 -apps 20
//
// Results are in .bench: a table, all figures as JSON and a chart.
package main
