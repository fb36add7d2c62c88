// Package render turns a MyApp into the objects that a member gets.
//
// It is pure and deterministic: the same input gives the same bytes. What
// renders is the template: the spec without replicas, placement and policies.
// The template's hash names the revision, so two specs that render alike are
// one revision, and scaling starts none.
//
// Every object carries the hub's marks (labels hub ID, member, app and app
// UID). Pods do not: a mark never rolls a pod.
package render
