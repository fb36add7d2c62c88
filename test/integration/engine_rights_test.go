package integration

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// An app of which one object may not be written is not begun: the row says which rule
// to grant, and nothing was made. With the right it is made as a whole.
func TestMissingRightsAreFoundBefore(t *testing.T) {
	e := newEngineTest(t)
	const group = "networking.k8s.io"
	all := []string{"get", "list", "watch", "create", "patch", "delete"}
	if err := e.c.Client().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: e.owner.Namespace}}); err != nil {
		t.Fatal(err)
	}
	role := e.mayOnly(
		rbacv1.PolicyRule{APIGroups: []string{"", "apps"}, Resources: []string{"services", "deployments", "configmaps"}, Verbs: all},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: []string{"get", "create", "patch"}},
		rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{"networkpolicies"}, Verbs: []string{"get", "list", "watch"}},
	)
	e.restart()
	manifests := e.render(withManifests(networkPolicy))
	var set apply.ChangeSet
	fleet.Eventually(t, soon, "the kind to be listed", func(context.Context) error {
		if set = e.pass(manifests); len(set.Changes) == 1 && set.Changes[0].Reason == v1.ReasonUnreadable {
			return errors.New(set.Changes[0].Message)
		}
		return nil
	})
	if len(set.Changes) != 1 || set.Changes[0].Action != apply.Refused || set.Changes[0].Reason != v1.ReasonPermissionMissing {
		t.Fatalf("%+v; want a refusal for %s", set, v1.ReasonPermissionMissing)
	}
	says(t, set.Changes[0].Message, `{apiGroups: ["networking.k8s.io"], resources: [networkpolicies], verbs: [create, patch, delete]}`, "nothing of the app was changed")
	if set.Writes() != 0 || !e.engine.Observe(e.owner).Empty() {
		t.Errorf("an app that cannot be whole was begun: %+v", set)
	}

	role.Rules[2].Verbs = all
	if err := e.c.Client().Update(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	e.restart() // the answer of before counts for a while
	e.settle(manifests)
}
