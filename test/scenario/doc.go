// Package scenario tells what happens to apps on a fleet, whatever the fleet is made of:
// the same stories are played on local fleets of plain processes, where they are fast and
// run at every change, and on real clusters, where kubelets, images and networks are real.
//
// A scenario knows nothing but its World: one member of each mode, images that exist, how
// long things may take. It places its apps on these members, waits for facts rather than
// assuming that a pod is ready or gone at once, and leaves nothing behind but empty
// namespaces, so that all scenarios can share one fleet, one after the other.
//
// What cannot be told on every kind of fleet does not belong here: faults in requests, audit
// logs, crashes of API servers and apps that need more than one member of a mode are tested
// where such fleets are.
package scenario
