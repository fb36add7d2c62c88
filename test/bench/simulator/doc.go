// Package simulator makes Deployments ready on members that have an API server
// and nothing else: as soon as it sees one, it writes the status that a
// controller manager, a scheduler and kubelets would have written in time.
//
// All contenders of the benchmark wait for the same simulator, so what it costs
// is in nobody's figures; it asks as an administrator, past the proxies. When it
// sees a Deployment is also the one clock by which "visible on the member" is
// measured.
package simulator
