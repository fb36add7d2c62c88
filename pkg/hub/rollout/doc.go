// Package rollout turns verdicts into rows: which revision and how many replicas each
// member is to have, and which member is to lose the app.
//
// It is pure. It changes the part of a row that is a decision (state Removing or not,
// revision, replicas), counts each change in the row's decision number, and leaves what
// members reported to package aggregate.
//
//	planner.go    one pass from beginning to end
//	steps.go      which step a member belongs to
//	progress.go   has the revision failed, and what does the current step wait for
//	assign.go     who gets which revision now: budgets, windows, the way back
//	rows.go       verdicts and revisions become rows
//	rules.go      spec.rollout, compiled
package rollout
