// Package kindfleet runs a hub and its members as kind clusters: real kubelets, pods,
// images, Services and networks, with the hub and the agents installed as their users
// install them: by the charts, and joined by the plugin's own commands.
//
// What differs from test/fleet: nothing is simulated, so everything is slower, and a node
// can be paused, cut off, killed and started again as a machine can. What is the same: the
// vocabulary of test/expect and the scenarios of test/scenario.
//
// It needs a Docker daemon, and an image for nodes: KIND_NODE_IMAGE, or the one that kind
// itself would use, from a registry. test/multikind/offline builds one without a registry.
// The rest is built here. Everything that is made in Docker has a name that begins with
// Prefix, is in a network of its own, and goes with Down.
package kindfleet
