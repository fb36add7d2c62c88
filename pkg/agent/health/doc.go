// Package health says how the objects of an app are doing, from the objects as
// the cluster shows them.
//
// It is pure. It judges with kstatus, as kubectl, Flux and Argo CD users know
// it, or with the app's own CEL rules, and adds the one rule that an engine
// needs: an object that does not yet carry the content that was applied says
// nothing about that content.
//
// Rules are written by users and evaluated in the hub too, so an expression has
// a budget and a language without the functions whose result can be made
// arbitrarily large (pkg/expression). A rule that fails is an unhealthy object,
// never an error of the pass.
//
// What it says goes to a status, so it must read the same as long as nothing has
// changed (text.go), and it must not quote what a pod printed or what a Secret
// holds.
package health
