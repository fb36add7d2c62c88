// Package meter counts what a run of the benchmark costs: requests from the audit
// logs of the API servers, CPU time and memory of processes from /proc, and their
// TCP connections.
//
// The audit log and not the API server's metrics, because it knows who asked:
// what the benchmark itself asks for can be taken out. It reads files only, and
// works on Linux.
package meter
