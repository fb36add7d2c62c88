package join

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
)

// Use is a kind of which apps have objects on a member.
type Use struct {
	Kind schema.GroupVersionKind
	// Apps are those that have, as NAMESPACE/NAME, in order.
	Apps []string
}

// appVerbs are what the engine does with objects of apps.
func appVerbs() []string { return []string{"get", "list", "watch", "create", "patch", "delete"} }

// appKinds are the resources in the files of deploy/rbac that are there for apps: what
// is not among them, the hub or the agent needs itself.
func appKinds() map[schema.GroupResource]bool {
	return map[schema.GroupResource]bool{
		{Resource: "secrets"}: true, {Resource: "serviceaccounts"}: true,
		{Group: "autoscaling", Resource: "horizontalpodautoscalers"}: true, {Group: "policy", Resource: "poddisruptionbudgets"}: true,
	}
}

// recordedVerbs are for kinds of which apps have no objects any more: the engine looks
// whether anything is left before it says that an app is gone.
func recordedVerbs() []string { return []string{"get", "list", "watch", "delete"} }

// Recorded are the kinds of which apps have ever had objects on a member, as the member
// remembers them.
func Recorded(ctx context.Context, cluster client.Client, member *v1.MemberCluster) ([]schema.GroupVersionKind, error) {
	record := &corev1.ConfigMap{}
	key := client.ObjectKey{Namespace: cmp.Or(member.Spec.Namespace, Namespace), Name: inventory}
	if err := cluster.Get(ctx, key, record); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("reading ConfigMap %s of member %s: %w", key, member.Name, err)
	}
	var kinds []schema.GroupVersionKind
	for kind, version := range record.Data {
		kinds = append(kinds, schema.ParseGroupKind(kind).WithVersion(version))
	}
	return kinds, nil
}

// Derived is the role of the account on a member with the rights that its apps need and
// no others: a ClusterRole, or a Role if the member is one namespace. recorded are kinds
// that apps have had. The rules name one resource each, so that they can be compared.
func Derived(member *v1.MemberCluster, uses []Use, recorded []schema.GroupVersionKind) (*unstructured.Unstructured, error) {
	if tenants := member.Spec.TenantServiceAccount; tenants != "" {
		return nil, fmt.Errorf("on %s apps have the rights of ServiceAccount %s in their namespace: ask there, with kubectl auth can-i --list -n NAMESPACE --as system:serviceaccount:NAMESPACE:%s", member.Name, tenants, tenants)
	}
	rights, err := Rights(strings.ToLower(string(member.Spec.Mode)), member.Spec.Namespace)
	if err != nil {
		return nil, err
	}
	want := "ClusterRole"
	if member.Spec.Namespace != "" {
		want = "Role"
	}
	at := slices.IndexFunc(rights, func(o *unstructured.Unstructured) bool { return o.GetKind() == want })
	if at < 0 {
		return nil, fmt.Errorf("the rights of a %s member have no %s", member.Spec.Mode, want)
	}
	var role rbacv1.ClusterRole // a Role has the same fields
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(rights[at].Object, &role); err != nil {
		return nil, fmt.Errorf("reading %s %s: %w", want, rights[at].GetName(), err)
	}
	granted := Permissions(role.Rules)
	for kind := range appKinds() {
		maps.DeleteFunc(granted, func(p Permission, _ bool) bool { return p.GroupResource == kind })
	}
	grant := func(kind schema.GroupVersionKind, verbs []string) {
		plural, _ := meta.UnsafeGuessKindToResource(kind)
		for _, verb := range verbs {
			granted[Permission{plural.GroupResource(), verb}] = true
		}
	}
	for _, use := range uses {
		grant(use.Kind, appVerbs())
	}
	for _, kind := range recorded {
		grant(kind, recordedVerbs())
	}
	role.Rules = rulesOf(granted)
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&role)
	if err != nil {
		return nil, fmt.Errorf("writing %s %s: %w", want, role.Name, err)
	}
	derived := &unstructured.Unstructured{Object: content}
	derived.SetKind(want)
	derived.SetAPIVersion(rbacv1.SchemeGroupVersion.String())
	return derived, nil
}

// Permission is one verb on one resource.
type Permission struct {
	schema.GroupResource
	Verb string
}

// String is the Permission as kubectl auth can-i takes it.
func (p Permission) String() string { return p.Verb + " " + p.GroupResource.String() }

// Permissions are what rules allow, but for those that name objects or URLs.
func Permissions(rules []rbacv1.PolicyRule) map[Permission]bool {
	all := map[Permission]bool{}
	for _, r := range rules {
		if len(r.ResourceNames) > 0 {
			continue
		}
		for _, group := range r.APIGroups {
			for _, resource := range r.Resources {
				for _, verb := range r.Verbs {
					all[Permission{schema.GroupResource{Group: group, Resource: resource}, verb}] = true
				}
			}
		}
	}
	return all
}

// rulesOf has a rule for each resource, in order.
func rulesOf(granted map[Permission]bool) []rbacv1.PolicyRule {
	verbs := map[schema.GroupResource][]string{}
	for p := range granted {
		verbs[p.GroupResource] = append(verbs[p.GroupResource], p.Verb)
	}
	var rules []rbacv1.PolicyRule
	for _, kind := range slices.SortedFunc(maps.Keys(verbs), func(a, b schema.GroupResource) int { return strings.Compare(a.String(), b.String()) }) {
		slices.Sort(verbs[kind])
		rules = append(rules, rbacv1.PolicyRule{APIGroups: []string{kind.Group}, Resources: []string{kind.Resource}, Verbs: verbs[kind]})
	}
	return rules
}

// Difference are the permissions that are in a and not in b, in order.
func Difference(a, b map[Permission]bool) []string {
	var lines []string
	for p := range a {
		if !b[p] {
			lines = append(lines, p.String())
		}
	}
	slices.Sort(lines)
	return lines
}
