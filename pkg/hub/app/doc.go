// Package app decides about MyApps. It is the only writer of MyApp.status.
//
// One pass is: observe (a snapshot of values from the cache) → placement.Schedule
// → rollout.Next → aggregate → commit. What it decides is recorded in
// status.placements before anything happens on a member; package delivery acts
// on the record.
//
// A pass reads the cache's own objects and a view of the members that passes share,
// and changes neither: one comes with every report, and must not cost as much as
// there are members.
//
// It never contacts a member, and never decides on a snapshot that is older than
// its own last write.
package app
