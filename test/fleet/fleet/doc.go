// Package fleet runs a hub and its members on one machine, as plain processes:
// real API servers with real TLS, RBAC, audit logs and garbage collection, no
// containers. The command test/fleet and the integration tests share it.
//
// What a fleet is made of:
//
//	etcd                 one, shared; each API server has a prefix of its own;
//	                     another for the hub alone with Config.HubEtcd
//	kube-apiserver       one per cluster, behind a TCP proxy that can be partitioned
//	faults               with Config.Faults, an HTTP proxy between the two that can
//	                     answer in the API server's place
//	controller manager   per cluster; on the hub with the few controllers a hub needs
//	scheduler, kwok      per member; kwok plays the kubelets of the fake nodes
//	hub, agents          the product's own binaries; agents for Pull members only
//
// Trade-offs. Nothing runs in a pod: no network between pods, no images, no
// webhooks in pods. Data does not outlive the fleet: etcd skips fsync unless
// Config.Fsync is set, and Down kills the control planes without ceremony. Fake
// nodes need no heartbeats (the controller manager is told to wait a day for
// them), so that an idle fleet is quiet and a crash of an API server evicts no pod.
//
// How pods behave: they are Ready at once, unless
//
//   - a container's image ends in ":broken": the pod stays Pending and reports
//     ImagePullBackOff, after an event that says why;
//   - the annotation "fleet.example.com/ready-after" holds a duration ("5s"): the
//     pod is Ready that long after it was bound.
//
// The hub and the agents reach every API server through its proxy; tests and
// the control planes themselves go directly, so that a test can look at a
// cluster that the hub has lost, and suffers none of the faults it injects.
//
// The webhook of MyApps (Config.Webhook) fails open: with the hub down, a MyApp
// is admitted unseen, as its reconciler checks it again. Failing closed would
// make a hub that is down a hub that nobody can mend.
//
// This package must not know what the product does beyond how it is joined: no
// test logic, no product types but the scheme.
package fleet
