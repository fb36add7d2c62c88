package apply

import (
	"slices"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestLacks(t *testing.T) {
	kinds := []schema.GroupResource{{Group: "apps", Resource: "deployments"}, {Resource: "services"}}
	rule := func(group, resource string, verbs ...string) authorizationv1.ResourceRule {
		return authorizationv1.ResourceRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs}
	}
	all := needed(false)
	const deployments, services = `{apiGroups: ["apps"], resources: [deployments], verbs: [get, list, watch, create, patch, delete]}`, `{apiGroups: [""], resources: [services], verbs: [get, list, watch, create, patch, delete]}`
	named := rule("apps", "deployments", all...)
	named.ResourceNames = []string{"web"}
	for _, tt := range []struct {
		reason string
		rules  []authorizationv1.ResourceRule
		want   []string
	}{
		{"all", []authorizationv1.ResourceRule{rule("apps", "deployments", all...), rule("", "services", all...)}, nil},
		{"an admin", []authorizationv1.ResourceRule{rule("*", "*", "*")}, nil},
		{"in several rules", []authorizationv1.ResourceRule{rule("apps", "*", "get", "list", "watch"), rule("apps", "deployments", "create", "patch", "delete"), rule("", "services", "*")}, nil},
		{"nothing", nil, []string{deployments, services}},
		{"one kind", []authorizationv1.ResourceRule{rule("apps", "deployments", all...)}, []string{services}},
		{"of a name only", []authorizationv1.ResourceRule{named, rule("", "services", all...)}, []string{deployments}},
		{"a subresource is not the resource", []authorizationv1.ResourceRule{rule("apps", "deployments/scale", all...), rule("", "services", all...)}, []string{deployments}},
		{"another group", []authorizationv1.ResourceRule{rule("extensions", "deployments", all...), rule("", "services", all...)}, []string{deployments}},
		{"a verb", []authorizationv1.ResourceRule{rule("apps", "deployments", all[:5]...), rule("", "services", all...)}, []string{`{apiGroups: ["apps"], resources: [deployments], verbs: [delete]}`}},
	} {
		if got := (answer{rules: tt.rules}).lacks(kinds, needed(false)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.reason, got, tt.want)
		}
	}
}
