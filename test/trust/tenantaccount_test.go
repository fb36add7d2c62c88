package trust

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

const tenantAccount = "myapp-tenant"

// grantTenant makes the tenant's account in a namespace of the newcomer, with the rights
// for Deployments and Services and no others.
func grantTenant(t *testing.T, f *fleet.Fleet, namespace string) {
	t.Helper()
	meta := metav1.ObjectMeta{Namespace: namespace, Name: tenantAccount}
	for _, o := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}},
		&corev1.ServiceAccount{ObjectMeta: meta},
		&rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"get", "create", "patch", "delete"}},
			{APIGroups: []string{""}, Resources: []string{"services"}, Verbs: []string{"get", "create", "patch", "delete"}},
		}},
		&rbacv1.RoleBinding{
			ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: tenantAccount},
			Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: namespace, Name: tenantAccount}},
		},
	} {
		if err := f.Cluster(newcomer).Client().Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
}

// With a tenant's account an app has the rights of that account in its namespace, by Push
// and by Pull, for everything that is done for it from its beginning to its end.
func TestTenantAccounts(t *testing.T) {
	f := sharedFleet(t)
	onNewcomer := []string{"--tenant-service-account", tenantAccount}
	for _, c := range []struct {
		member, account string
		join            func(t *testing.T)
	}{
		{"tenants-push", "system:serviceaccount:myapp-hub-system:myapp-hub", func(t *testing.T) {
			leave(t, f, "tenants-push")
			mustMyapp(t, f, newcomer, append(onNewcomer, "join", "--mode", "push", "tenants-push",
				"--hub-kubeconfig", f.Cluster(fleet.HubName).Kubeconfig(), "--labels", expect.NameLabel+"=tenants-push")...)
		}},
		{"tenants-pull", "system:serviceaccount:myapp-hub-system:myapp-agent", func(t *testing.T) {
			leave(t, f, "tenants-pull")
			command, _ := newToken(t, f, "tenants-pull", "--accept", "--labels", expect.NameLabel+"=tenants-pull")
			mustMyapp(t, f, newcomer, append(append(command, "--skip-agent"), onNewcomer...)...)
			err := f.RunAgent(t.Context(), newcomer, "tenants-pull", fleet.AgentRun{Args: []string{"--tenant-service-account=" + tenantAccount}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := f.Agent("tenants-pull").Kill(); err != nil {
					t.Error(err)
				}
			})
		}},
	} {
		t.Run(c.member, func(t *testing.T) {
			granted, strange := c.member+"-a", c.member+"-b"
			expect.Namespace(t, f, granted)
			expect.Namespace(t, f, strange)
			grantTenant(t, f, granted)
			mark := f.Cluster(newcomer).AuditMark()
			c.join(t)
			isMember(t, f, c.member, v1.ConditionReady, metav1.ConditionTrue, v1.ReasonConnected)

			web := types.NamespacedName{Namespace: granted, Name: "web"}
			create(t, f, web, c.member)
			applied(t, f, web, c.member, "registry.example.com/web:1")
			expect.Edit(t, f, web, func(a *v1.MyApp) { a.Spec.Image = "registry.example.com/web:2"; expect.WithService(a) })
			applied(t, f, web, c.member, "registry.example.com/web:2")

			config := types.NamespacedName{Namespace: granted, Name: "config"}
			expect.Create(t, f, expect.App(config.Namespace, config.Name, expect.On(c.member), func(a *v1.MyApp) { a.Spec.Config = map[string]v1.ConfigValue{"KEY": "value"} }))
			lacksRight(t, f, config, c.member, "[configmaps]")
			nobody := types.NamespacedName{Namespace: strange, Name: "web"}
			create(t, f, nobody, c.member)
			lacksRight(t, f, nobody, c.member, "[deployments]")

			for _, app := range []types.NamespacedName{web, config, nobody} {
				expect.Delete(t, f, app)
				expect.Gone(t, f, soon, app)
			}
			actsAsTenants(t, f, c.account, mark)
			mustMyapp(t, f, fleet.HubName, "leave", c.member, "--yes", "--member-kubeconfig", f.Cluster(newcomer).Kubeconfig())
			fleet.Eventually(t, soon, "the cluster has lost what it had as a member", func(ctx context.Context) error {
				own := &corev1.Namespace{}
				err := f.Cluster(newcomer).Client().Get(ctx, client.ObjectKey{Name: fleet.HubNamespace}, own)
				if err == nil && own.DeletionTimestamp != nil {
					return fmt.Errorf("namespace %s is being deleted", own.Name)
				}
				return client.IgnoreNotFound(err)
			})
		})
	}
}

func lacksRight(t *testing.T, f *fleet.Fleet, key types.NamespacedName, member, resource string) {
	t.Helper()
	expect.That(t, f, soon, key, "it says which right is missing", func(a *v1.MyApp) error {
		row := expect.Row(a, member)
		if row == nil || row.Reason != v1.ReasonPermissionMissing || !strings.Contains(row.Message, "resources: "+resource) {
			return fmt.Errorf("the row is %+v", row)
		}
		return nil
	})
	if objects := expect.Objects(t, f, newcomer, key.Namespace, client.MatchingLabels{v1.LabelApp: key.Name}); len(objects) > 0 {
		t.Errorf("an app that may not have all of its objects has %v", objects)
	}
}

// actsAsTenants wants every request of an account about something in a namespace, but for lists, to
// have been made as the tenant of that namespace.
func actsAsTenants(t *testing.T, f *fleet.Fleet, account string, mark int64) {
	t.Helper()
	requests := map[string]int{}
	err := f.Cluster(newcomer).EachAudit(mark, func(e fleet.AuditEvent) {
		own := e.Namespace == "" || e.Namespace == "myapp-hub-system" || e.Resource == "namespaces"
		if e.User != account || own || e.Verb == "list" {
			return
		}
		requests[e.Verb]++
		if want := "system:serviceaccount:" + e.Namespace + ":" + tenantAccount; e.As != want {
			t.Errorf("%s %s was made as %q, not as %s", e.Verb, e.RequestURI, e.As, want)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if requests["patch"] == 0 || requests["delete"] == 0 {
		t.Errorf("the account has made these requests in namespaces: %v", requests)
	}
	t.Logf("%s has made %v requests in namespaces, all as the tenant there", account, requests)
}
