package join

import (
	"errors"
	"fmt"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// RightsOf are Rights, for an account that acts in each namespace as another if tenants
// names it: to see what apps have, to be that one, and to keep what is its own.
func RightsOf(mode, namespace, tenants string) ([]*unstructured.Unstructured, error) {
	rights, err := Rights(mode, namespace)
	if err != nil || tenants == "" {
		return rights, err
	}
	if namespace != "" {
		return nil, errors.New("a tenant's ServiceAccount is for whole clusters, and this member is one namespace")
	}
	for i, object := range rights {
		switch object.GetKind() {
		case "ClusterRole":
			rights[i], err = asTenants(object, tenants)
		case "ClusterRoleBinding":
			var own []*unstructured.Unstructured
			own, err = inventoryRights(object)
			rights = append(rights, own...)
		}
		if err != nil {
			return nil, err
		}
	}
	return rights, nil
}

// asTenants takes from a role what tenants do themselves.
func asTenants(object *unstructured.Unstructured, tenants string) (*unstructured.Unstructured, error) {
	var role rbacv1.ClusterRole
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &role); err != nil {
		return nil, fmt.Errorf("reading ClusterRole %s: %w", object.GetName(), err)
	}
	for i := range role.Rules {
		if slices.Contains(role.Rules[i].Verbs, "watch") {
			role.Rules[i].Verbs = []string{"list", "watch"}
		}
	}
	role.Rules = append(role.Rules, rbacv1.PolicyRule{
		APIGroups: []string{""}, Resources: []string{"serviceaccounts"}, ResourceNames: []string{tenants}, Verbs: []string{"impersonate"},
	})
	return toUnstructured(&role)
}

// inventoryRights are for the record of the kinds that apps have had, which is the
// account's own; binding says whose.
func inventoryRights(binding *unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	var account rbacv1.ClusterRoleBinding
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(binding.Object, &account); err != nil {
		return nil, fmt.Errorf("reading ClusterRoleBinding %s: %w", binding.GetName(), err)
	}
	version, meta := rbacv1.SchemeGroupVersion.String(), metav1.ObjectMeta{Namespace: Namespace, Name: inventory}
	role, err := toUnstructured(&rbacv1.Role{
		TypeMeta: metav1.TypeMeta{APIVersion: version, Kind: "Role"}, ObjectMeta: meta,
		Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{inventory}, Verbs: []string{"get", "create", "patch"},
		}},
	})
	if err != nil {
		return nil, err
	}
	bound, err := toUnstructured(&rbacv1.RoleBinding{
		TypeMeta: metav1.TypeMeta{APIVersion: version, Kind: "RoleBinding"}, ObjectMeta: meta, Subjects: account.Subjects,
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: inventory},
	})
	return []*unstructured.Unstructured{role, bound}, err
}

func toUnstructured(object runtime.Object) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, fmt.Errorf("encoding a %T: %w", object, err)
	}
	return &unstructured.Unstructured{Object: content}, nil
}
