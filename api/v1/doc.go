// Package v1 is the API of MyApp Hub: group example.com, version v1.
//
// It holds the types a user writes (MyApp, MemberCluster), the mailbox item
// between hub and agent (Work), and the closed sets of condition types,
// reasons and marks that all other packages use. It imports only
// k8s.io/apimachinery and k8s.io/api, so that any client can depend on it.
//
// +kubebuilder:object:generate=true
// +groupName=example.com
package v1
