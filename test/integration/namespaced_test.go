package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// tenant is a namespaced member on a cluster of the shared fleet, gone with the test.
type tenant struct {
	fleet.TenantConfig
	// account is the name of the hub's or the agent's ServiceAccount there.
	account string
}

func addTenants(t *testing.T, f *fleet.Fleet) []tenant {
	t.Helper()
	tenants := []tenant{
		{fleet.TenantConfig{Name: "tenant-push", Cluster: "push-4", Namespace: "team-a", Mode: fleet.ModePush}, "myapp-hub-team-a"},
		{fleet.TenantConfig{Name: "tenant-pull", Cluster: "pull-2", Namespace: "team-b", Mode: fleet.ModePull}, "myapp-agent-team-b"},
	}
	for i := range tenants {
		tenants[i].Labels = map[string]string{expect.NameLabel: tenants[i].Name}
		if err := f.AddTenant(t.Context(), tenants[i].TenantConfig); err != nil {
			t.Fatal(err)
		}
		name := tenants[i].Name
		t.Cleanup(func() {
			if err := f.Cluster(fleet.HubName).Client().Delete(context.Background(), memberCluster(name)); err != nil {
				t.Error(err)
			}
			if agent := f.Agent(name); agent != nil {
				if err := agent.Kill(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	return tenants
}

// made are the app's objects in the tenant's namespace, with nothing in them that
// tells one tenant from another.
func (x tenant) made(t *testing.T, f *fleet.Fleet, app string) string {
	t.Helper()
	objects, err := expect.Made(t.Context(), f, x.Cluster, key(x.Namespace, app))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(objects, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(x.Namespace, "HOME", x.Name, "TENANT").Replace(string(text))
}

// A namespace of a cluster is a member like others, by Push and by Pull, with
// rights in that namespace only.
func TestNamespacedMembers(t *testing.T) {
	f := sharedFleet(t)
	tenants := addTenants(t, f)
	marks := map[string]int64{}
	for _, x := range tenants {
		marks[x.Cluster] = f.Cluster(x.Cluster).AuditMark()
	}
	app := key(namespace(t, f), "web")
	expect.Create(t, f, expect.App(app.Namespace, app.Name, expect.On("tenant-push", "tenant-pull"), expect.WithService, func(a *v1.MyApp) {
		a.Spec.Config = map[string]v1.ConfigValue{"a.conf": "x"}
	}))
	expect.Ready(t, f, soon, app, "tenant-push", "tenant-pull")

	push, pull := tenants[0].made(t, f, app.Name), tenants[1].made(t, f, app.Name)
	if diff := cmp.Diff(push, pull); diff != "" {
		t.Errorf("Push and Pull made different objects (-push +pull):\n%s", diff)
	}
	for _, want := range []string{"Deployment web", "Service web", "ConfigMap web", v1.LabelAppNamespace} {
		if !strings.Contains(push, want) {
			t.Errorf("there is no %s in %s", want, push)
		}
	}

	twin := key("twin-of-namespaced", app.Name)
	expect.Namespace(t, f, twin.Namespace)
	expect.Create(t, f, expect.App(twin.Namespace, twin.Name, expect.On("tenant-push", "tenant-pull")))
	expect.That(t, f, soon, twin, "the name to be taken on both", func(a *v1.MyApp) error {
		for _, x := range tenants {
			if row := expect.Row(a, x.Name); row == nil || row.Reason != v1.ReasonNameConflict || row.State != v1.PlacementFailed {
				return fmt.Errorf("%s: %+v", x.Name, row)
			}
		}
		return nil
	})
	expect.Delete(t, f, twin)
	expect.Gone(t, f, soon, twin)
	expect.Ready(t, f, soon, app, "tenant-push", "tenant-pull")
	if now := tenants[0].made(t, f, app.Name); now != push {
		t.Errorf("the other app's removal changed objects (-before +after):\n%s", cmp.Diff(push, now))
	}

	expect.Delete(t, f, app)
	expect.Gone(t, f, soon, app)
	for _, x := range tenants {
		if left := expect.Objects(t, f, x.Cluster, x.Namespace, client.MatchingLabels{v1.LabelApp: app.Name}); len(left) > 0 {
			t.Errorf("%s still has %v", x.Name, left)
		}
		x.keptToItsNamespace(t, f, marks[x.Cluster])
	}
}

// keptToItsNamespace looks at what was asked of the cluster on the tenant's behalf.
func (x tenant) keptToItsNamespace(t *testing.T, f *fleet.Fleet, mark int64) {
	t.Helper()
	events, err := f.Cluster(x.Cluster).AuditSince(mark)
	if err != nil {
		t.Fatal(err)
	}
	user, writes := "system:serviceaccount:"+fleet.HubNamespace+":"+x.account, 0
	for _, e := range events {
		if e.User != user || e.Resource == "selfsubjectrulesreviews" {
			continue // what one may do in a namespace is asked outside of it
		}
		if e.Write() {
			writes++
		}
		if e.Resource != "" && e.Namespace != x.Namespace || e.Code == 403 {
			t.Errorf("%s asked for %s %s in namespace %q: %d", x.Name, e.Verb, e.Resource, e.Namespace, e.Code)
		}
	}
	if writes == 0 {
		t.Errorf("nothing was written by %s: the audit log shows nothing", user)
	}
}

// The namespace of a member is part of what it is.
func TestNamespaceOfMemberStays(t *testing.T) {
	f := sharedFleet(t)
	hub := f.Cluster(fleet.HubName).Client()
	for _, tt := range []struct{ reason, before, after string }{
		{"another", "team-a", "team-b"},
		{"none any more", "team-a", ""},
		{"one now", "", "team-a"},
	} {
		name := "stays-" + strings.ReplaceAll(tt.reason, " ", "-")
		register(t, f, name, v1.MemberClusterSpec{Mode: v1.ModePull, Namespace: tt.before})
		patch := fmt.Appendf(nil, `{"spec":{"namespace":%q}}`, tt.after)
		if tt.after == "" {
			patch = []byte(`{"spec":{"namespace":null}}`)
		}
		err := hub.Patch(t.Context(), memberCluster(name), client.RawPatch("application/merge-patch+json", patch))
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "namespace cannot be changed") {
			t.Errorf("%s: %v; want it refused", tt.reason, err)
		}
	}
}

// What Kubernetes and the hub have for themselves is nobody's namespace.
func TestSystemNamespaceIsNoMember(t *testing.T) {
	hub := sharedFleet(t).Cluster(fleet.HubName).Client()
	for _, namespace := range []string{"kube-system", fleet.HubNamespace} {
		member := memberCluster("system")
		member.Spec = v1.MemberClusterSpec{Mode: v1.ModePull, Namespace: namespace}
		if err := hub.Create(t.Context(), member); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "choose one that is the tenant's own") {
			t.Errorf("%s: %v; want it refused", namespace, err)
		}
	}
}

// An agent that runs for another part of its cluster than the hub thinks does
// nothing, and confirms nothing.
func TestAgentOfAnotherNamespace(t *testing.T) {
	f := sharedFleet(t)
	app := key(namespace(t, f), "web")
	expect.Create(t, f, expect.App(app.Namespace, app.Name, expect.On("pull-1")))
	expect.Ready(t, f, soon, app, "pull-1")
	hub := f.Cluster(fleet.HubName).Client()
	var works v1.WorkList
	if err := hub.List(t.Context(), &works, client.InNamespace(v1.MailboxNamespace("pull-1"))); err != nil {
		t.Fatal(err)
	}
	mark := f.Cluster("pull-1").AuditMark()
	for i := range works.Items {
		w := &works.Items[i]
		if w.Spec.App.Namespace != app.Namespace {
			continue
		}
		order := w.DeepCopy()
		order.ObjectMeta.ResourceVersion, order.ObjectMeta.UID, order.Name = "", "", "elsewhere"
		order.Spec.State, order.Spec.Manifests, order.Spec.ContentHash, order.Spec.Namespace = v1.WorkRemoved, nil, "", "team-x"
		if err := hub.Create(t.Context(), order); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = hub.Delete(context.Background(), order) })
		fleet.Eventually(t, soon, "the agent to refuse", func(ctx context.Context) error {
			if err := hub.Get(ctx, client.ObjectKeyFromObject(order), order); err != nil {
				return err
			}
			if order.Status.Reason != v1.ReasonNotPermitted || !strings.Contains(order.Status.Message, "namespace team-x") {
				return fmt.Errorf("it says %+v", order.Status.Feedback)
			}
			return nil
		})
		events, err := f.Cluster("pull-1").AuditSince(mark)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range expect.Writes(expect.ByProduct(events)) {
			t.Errorf("the agent wrote: %s %s %s/%s", e.Verb, e.Resource, e.Namespace, e.Name)
		}
		return
	}
	t.Fatal(errors.New("the mailbox has no Work of the app"))
}
