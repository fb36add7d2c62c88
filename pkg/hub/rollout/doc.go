// Package rollout turns verdicts into rows: which revision and how many
// replicas each member is to have, and which member is to lose the app.
//
// It is pure. It changes the part of a row that is a decision (state Removing
// or not, revision, replicas), counts each change in the row's decision number,
// and leaves what members reported to package aggregate. In this form every
// member gets the current revision at once.
package rollout
