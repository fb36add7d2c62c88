// Package render turns a MyApp into the objects that a member gets.
//
// It is pure and deterministic: the same input gives the same bytes. What
// renders is the template: the spec without replicas, placement and policies.
// The template's hash names the revision, so two specs that render alike are
// one revision, and scaling starts none.
//
// Objects are made from the fields of the spec first (builtin.go, config.go,
// deployment.go, podtemplate.go, extra.go) and then changed for the member
// (overrides.go, patches.go). Last, the references of the pods to Secrets are
// found and turned to the copies (secrets.go): every step before may add one.
// The content of Secrets never comes here.
//
// Every object carries the hub's marks (labels hub ID, member, app and app
// UID). Pods do not: a mark never rolls a pod. No field that a user writes can
// change a mark, an object's identity, or what the app's pods are selected by.
//
// Validate says at admission what would otherwise be an Error on every member.
// It refuses only what no member could accept.
package render
