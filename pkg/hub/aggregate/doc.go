// Package aggregate makes the status of a MyApp from its rows and from what
// the members reported.
//
// It is pure, and honest by these rules: a report is believed only for the
// decision it was made for; a member that does not answer keeps its last
// report, with its time, and counts as unknown, never as ready; a row that is
// Removing goes only when the member has confirmed that nothing is left.
package aggregate
