package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
)

// What one app may not have keeps no other app from leaving.
func TestForbiddenKindHarmsNoOtherApp(t *testing.T) {
	f := sharedFleet(t)
	members := []string{"push-1", "pull-1"}
	ns := namespace(t, f)
	greedy, other := key(ns, "greedy"), key(ns, "other")
	binding := `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","metadata":{"name":"x"},
		"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cluster-admin"},"subjects":[]}`
	expect.Create(t, f, expect.App(other.Namespace, other.Name, expect.On(members...)))
	expect.Create(t, f, expect.App(greedy.Namespace, greedy.Name, expect.On(members...), func(a *v1.MyApp) {
		a.Spec.Manifests = []runtime.RawExtension{{Raw: []byte(binding)}}
	}))
	expect.Ready(t, f, soon, other, members...)
	expect.That(t, f, soon, greedy, "is told what it may not have", func(a *v1.MyApp) error {
		for _, m := range members {
			if row := expect.Row(a, m); row == nil || row.State != v1.PlacementFailed || row.Reason != v1.ReasonPermissionMissing {
				return fmt.Errorf("%s: %+v", m, row)
			}
		}
		return nil
	})
	for _, app := range []types.NamespacedName{other, greedy} {
		expect.Delete(t, f, app)
		expect.Gone(t, f, soon, app, members...)
	}
}

// A member that answers but grants the hub nothing: the rows say what to do, and
// the app is Ready once it is done.
func TestMissingRightsAreSaid(t *testing.T) {
	f := sharedFleet(t)
	const member, cluster, secret = "rightless", "push-4", "rightless-kubeconfig"
	token, err := f.Cluster(cluster).Token(t.Context(), "default", "default", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := f.Cluster(cluster).KubeconfigFor(token, true)
	if err != nil {
		t.Fatal(err)
	}
	putSecret(t, f, secret, map[string][]byte{"kubeconfig": kubeconfig})
	t.Cleanup(func() { deleteSecret(t, f, secret) })
	register(t, f, member, v1.MemberClusterSpec{Mode: v1.ModePush, KubeconfigSecretRef: &v1.SecretKeyRef{Name: secret}})
	memberIs(t, f, member, metav1.ConditionTrue, v1.ReasonConnected)

	app := key(namespace(t, f), "web")
	expect.Create(t, f, expect.App(app.Namespace, app.Name, expect.On(member)))
	expect.That(t, f, soon, app, "says what is missing", func(a *v1.MyApp) error {
		row := expect.Row(a, member)
		if row == nil || row.Reason != v1.ReasonUnreadable || !strings.Contains(row.Message, "deploy/rbac/member-push.yaml") {
			return fmt.Errorf("the row is %+v", row)
		}
		return nil
	})

	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "rightless"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "myapp-hub"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: "default"}},
	}
	c := f.Cluster(cluster).Client()
	if err := c.Create(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Delete(context.Background(), binding); err != nil {
			t.Errorf("taking the rights away again: %v", err)
		}
	})
	expect.Ready(t, f, 2*time.Minute, app, member)
	expect.Delete(t, f, app)
	expect.Gone(t, f, soon, app)
	if left := expect.Objects(t, f, cluster, app.Namespace); len(left) > 0 {
		t.Errorf("%s still has %v", cluster, left)
	}
}
