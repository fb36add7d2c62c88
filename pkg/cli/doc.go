// Package cli is what kubectl-myapp does. It runs the hub's own pure code on what
// the user may read from the hub, and changes nothing.
package cli
