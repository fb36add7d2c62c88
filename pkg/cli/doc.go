// Package cli is what kubectl-myapp does. It looks at apps by the hub's own pure code on
// what the user may read, and lets clusters join and leave.
package cli
