// Package plan is what the driver of the benchmark tells the floor: where the
// clusters are, and what each app has on each member.
package plan

import "strings"

// The Floor is a copy of the MyApp under another name: the same schema, and so
// the same work for the hub's API server.
const (
	Group    = "bench.example.com"
	Version  = "v1"
	Kind     = "Floor"
	Resource = "floors"
)

// Placeholders in Object.Content.
const (
	Namespace = "zz-namespace"
	App       = "zz-app"
	UID       = "zz-uid"
	Member    = "zz-member"
	Home      = "zz-home"
	Image     = "zz-image"
)

// Manager is the floor's field manager, and the value of HubLabel on its objects.
const (
	Manager     = "bench-floor"
	HubLabel    = "example.com/hub-id"
	MemberLabel = "example.com/member"
	// NamespaceLabel is the app's namespace, on objects that are in the namespace of
	// a namespaced member.
	NamespaceLabel = "example.com/app-namespace"
)

// Plan is written to the floor's standard input as JSON.
type Plan struct {
	// Hub is the path of the kubeconfig for the hub.
	Hub string `json:"hub"`
	// Members get every app.
	Members []Cluster `json:"members"`
	// Objects of an app, in the order in which they are applied.
	Objects []Object `json:"objects"`
}

// Cluster is a member and the path of its kubeconfig.
type Cluster struct {
	Name       string `json:"name"`
	Kubeconfig string `json:"kubeconfig"`
	// Namespace is where all of its objects are; empty: in that of their app.
	Namespace string `json:"namespace,omitempty"`
}

// Object is the same on every member but for the placeholders.
type Object struct {
	Group    string `json:"group"`
	Version  string `json:"version"`
	Resource string `json:"resource"`
	Content  string `json:"content"`
}

// HasImage is true for an object that another image changes.
func (o Object) HasImage() bool { return strings.Contains(o.Content, Image) }
