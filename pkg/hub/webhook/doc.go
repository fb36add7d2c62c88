// Package webhook answers the API server's question whether a MyApp may be
// written as it is.
//
// The schema and its rules refuse most mistakes by themselves, webhook or not.
// This adds what they cannot say: that a podTemplate is one, that manifests may
// belong to an app, that patches apply. A mistake that is refused here is one
// that would otherwise show as RenderError on every member.
//
// It decides on the object alone, reads nothing and writes nothing. It never
// stands in the way of an app that is being deleted, nor of one whose spec stays
// as it is: labels, annotations and finalizers can always be changed.
package webhook
