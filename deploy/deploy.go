// Package deploy has the files of this directory that programs install.
package deploy

import "embed"

// RBAC are the rights on members, in directory rbac.
//
//go:embed rbac/member-*.yaml
var RBAC embed.FS

// Tenant is the namespace that the files for namespaced members have in the place of
// the member's.
const Tenant = "team-a"
