// Package plan says what an edit would do to every member, before it is made.
//
// It is pure, and has no rules of its own: it puts the edited objects into the functions
// by which the hub decides and renders, and compares. What it shows of objects is
// rendered; what a member's API server or webhooks would make of that is not in it.
package plan
