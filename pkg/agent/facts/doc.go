// Package facts computes what is reported of a cluster: its version, the kinds that it
// serves, and what its nodes have and pods request.
//
// # What is counted
//
// Allocatable is the sum over nodes that a pod without tolerations can be scheduled to:
// ready, not cordoned, no taint NoSchedule or NoExecute. Requested is the sum of what the
// scheduler counts for the pods on these nodes that have not finished: containers,
// sidecars, the largest init container, overhead, and what a resize has already got.
// Other nodes and their pods count for nothing. A cluster without any node is not one that
// is full: it may be one that makes nodes when there are pods. Its capacity is not known.
//
// # Rounding
//
// Exact amounts change with every pod, and each change would be a write. So they are
// rounded to a unit: the largest 8 millicores, 16 MiB or 1 pod times a power of two of
// which the allocatable amount is 64 or more. What is allocatable is rounded down, what is
// requested up, so that nobody takes for free what is not. An amount that was reported
// stays as long as it is on that side of the truth and less than two units away: a pod
// that comes and goes at the edge of a unit changes nothing. What is reported is then at
// most 1/32 of the allocatable amount away from the truth.
//
// # Trade-offs
//
//   - The rule looks at what was reported last. That is an argument, and whoever reports
//     takes it from where it is written down, so a restart changes nothing.
//   - Whoever is measured is not trusted: amounts, names and their number are bounded here,
//     and what a bound cuts off is no error.
//
// # What it must not do
//
// Talk to a cluster, read a clock, or log.
package facts
