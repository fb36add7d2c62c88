package integration

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
	"github.com/example/myapp-hub/pkg/hub/render"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

func withoutService(in *render.Input) { in.Template.Service = nil }

// As long as an object cannot be applied, nothing is pruned: what replaces the
// old object may not be there yet.
func TestNothingIsPrunedAfterAnError(t *testing.T) {
	e := newEngineTest(t)
	first := e.render()
	service := only(t, first, "Service")
	e.settle(first)
	before := e.live(service)
	bad := e.render(withoutService, func(in *render.Input) { in.Replicas = -1 })
	if set := e.pass(bad); len(set.Changes) != 1 || set.Changes[0].Reason != v1.ReasonRejected {
		t.Errorf("%+v; want the Deployment %s and nothing else", set, v1.ReasonRejected)
	}
	e.untouched(before, service)

	e.meddle = func(r *http.Request) error {
		if r.Method == http.MethodPatch && strings.Contains(r.URL.Path, "/deployments/") {
			return errors.New("the connection broke")
		}
		return nil
	}
	good := e.render(withoutService, func(in *render.Input) { in.Replicas = 3 })
	if set, err := e.engine.Apply(t.Context(), e.owner, good, e.policies, e.observe()); err == nil || !apply.Unreachable(err) {
		t.Errorf("%+v, %v; want the error", set, err)
	}
	e.untouched(before, service)

	e.meddle = nil
	if set := e.pass(good); set.Changes[len(set.Changes)-1].Action != apply.Pruned {
		t.Errorf("%+v; want the Service pruned", set)
	}
	e.settle(good)
}

// What may not be deleted stays in the ChangeSet as long as it is there.
func TestForbiddenPruningIsSaidEachTime(t *testing.T) {
	e := newEngineTest(t)
	e.settle(e.render()) // with all rights, or it would not have begun
	e.mayNotDelete()
	e.restart()
	few := e.render(withoutService)
	for range 3 {
		set := e.pass(few)
		refused := set.Changes[len(set.Changes)-1]
		if refused.Action != apply.Refused || refused.Reason != v1.ReasonForbidden {
			t.Fatalf("%+v; want the Service refused as %s", set, v1.ReasonForbidden)
		}
		says(t, refused.Message, "Service "+e.owner.Namespace+"/web", "no longer wanted and cannot be removed")
	}
	if _, err := e.engine.Remove(t.Context(), e.owner, v1.DeletionDelete); err == nil {
		t.Error("the removal of what may not be deleted succeeded")
	}
	e.admin = e.c.Admin()
	e.restart()
	if set := e.pass(few); set.Changes[len(set.Changes)-1].Action != apply.Pruned {
		t.Errorf("with the right: %+v; want the Service pruned", set)
	}
}

// mayNotDelete makes the engine somebody who may do all that it needs but delete.
func (e *engineTest) mayNotDelete() {
	e.t.Helper()
	e.mayOnly(rbacv1.PolicyRule{
		APIGroups: []string{"", "apps"}, Resources: []string{"services", "deployments", "namespaces", "configmaps"},
		Verbs: []string{"get", "list", "watch", "create", "patch"},
	})
}

// mayOnly makes the engine somebody with these rights and no others, and returns their
// role.
func (e *engineTest) mayOnly(rules ...rbacv1.PolicyRule) *rbacv1.ClusterRole {
	e.t.Helper()
	name, ns := e.owner.Namespace, e.owner.Namespace
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "engine"}}
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: ns, Name: account.Name}},
	}
	for _, o := range []client.Object{account, role, binding} {
		if err := e.c.Client().Create(e.t.Context(), o); err != nil {
			e.t.Fatal(err)
		}
		e.t.Cleanup(func() {
			if err := e.c.Client().Delete(context.Background(), o); err != nil {
				e.t.Errorf("removing the rights again: %v", err)
			}
		})
	}
	token, err := e.c.Token(e.t.Context(), ns, account.Name, time.Hour)
	if err != nil {
		e.t.Fatal(err)
	}
	e.admin = e.c.ConfigFor(token, false)
	return role
}

// A removal that waits says for what, and since when.
func TestRemovalSaysWhatItWaitsFor(t *testing.T) {
	e := newEngineTest(t)
	manifests := e.render()
	deployment := only(t, manifests, "Deployment")
	e.settle(manifests)
	e.edit(deployment, `{"metadata":{"finalizers":["example.org/a","example.org/b"]}}`)
	for range 2 {
		removal, err := e.engine.Remove(t.Context(), e.owner, v1.DeletionDelete)
		if err != nil || removal.Done || len(removal.Left) != 1 || removal.Retry <= 0 {
			t.Fatalf("removal %+v, %v; want the Deployment left and a retry", removal, err)
		}
		since := e.live(deployment).GetDeletionTimestamp().UTC().Format(time.RFC3339)
		want := fmt.Sprintf("%s (being deleted since %s; finalizers: example.org/a, example.org/b)", deployment, since)
		if removal.Left[0] != want {
			t.Errorf("left is %q, want %q", removal.Left[0], want)
		}
		says(t, apply.RemovalFeedback(removal).Message, want)
	}
	e.edit(deployment, `{"metadata":{"finalizers":null}}`)
	e.removed()
}

// A list that lacks what the cache shows is not believed.
func TestRemovalBelievesNoEmptyList(t *testing.T) {
	e := newEngineTest(t)
	manifests := e.render()
	e.settle(manifests)
	e.meddle = func(r *http.Request) error {
		if q := r.URL.Query(); r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/"+e.owner.Namespace+"/") && q.Has("labelSelector") {
			q.Set("labelSelector", "nothing=here")
			r.URL.RawQuery = q.Encode()
		}
		return nil
	}
	removal, err := e.engine.Remove(t.Context(), e.owner, v1.DeletionDelete)
	if err != nil || removal.Done || len(removal.Left) == 0 || removal.Retry <= 0 {
		t.Errorf("removal %+v, %v; want what the cache shows to be left", removal, err)
	}
	e.meddle = nil
	e.removed()
}

// What is orphaned carries no mark of the hub's any more, but for the labels that
// select pods.
func TestOrphansCarryNoMarks(t *testing.T) {
	e := newEngineTest(t)
	two := int32(2)
	fixed := e.render(func(in *render.Input) { in.Replicas = 10 })
	e.settle(fixed)
	manifests := e.render(func(in *render.Input) {
		in.Template.Autoscaling = &v1.Autoscaling{MinReplicas: &two, MaxReplicas: 20}
		e.policies = render.Policies(&in.Template)
	})
	e.settle(manifests)
	deployment := only(t, manifests, "Deployment")
	if _, kept := e.live(deployment).GetAnnotations()[v1.AnnotationKeptReplicas]; !kept {
		t.Error("the number of replicas was not kept: the test tests nothing")
	}
	removal, err := e.engine.Remove(t.Context(), e.owner, v1.DeletionOrphan)
	if err != nil || !removal.Done {
		t.Fatalf("removal %+v, %v; want it done", removal, err)
	}
	for _, m := range manifests {
		live := e.live(m)
		for key := range live.GetAnnotations() {
			if strings.HasPrefix(key, "example.com/") {
				t.Errorf("%s still has the annotation %s", m, key)
			}
		}
		for key := range live.GetLabels() {
			if strings.HasPrefix(key, "example.com/") && key != v1.LabelApp || key == v1.LabelManagedBy {
				t.Errorf("%s still has the label %s", m, key)
			}
		}
	}
	e.runs("orphaned", 10)
}

// An object of ours that lost the label by which the cache knows it is removed with
// the others; what only looks like it is not.
func TestRemovalFindsWhatLostItsMark(t *testing.T) {
	for _, label := range []string{v1.LabelMember, v1.LabelManagedBy} {
		for _, policy := range []v1.DeletionPolicy{v1.DeletionDelete, v1.DeletionOrphan} {
			t.Run(label[strings.Index(label, "/")+1:]+"/"+string(policy), func(t *testing.T) {
				e := newEngineTest(t)
				manifests := e.render()
				e.settle(manifests)
				e.restart()
				service := only(t, manifests, "Service")
				e.edit(service, `{"metadata":{"labels":{"`+label+`":null}}}`)
				copied := foreign(t, service)
				copied.SetName("theirs")
				copied.SetLabels(map[string]string{v1.LabelHubID: e.owner.HubID, v1.LabelAppUID: string(e.owner.UID)})
				if err := e.c.Client().Create(t.Context(), copied); err != nil {
					t.Fatal(err)
				}
				fleet.Eventually(t, soon, "the removal to be done", func(ctx context.Context) error {
					removal, err := e.engine.Remove(ctx, e.owner, policy)
					if err == nil && !removal.Done {
						err = fmt.Errorf("left are %q", removal.Left)
					}
					return err
				})
				live := reference(service)
				err := e.c.Client().Get(t.Context(), client.ObjectKeyFromObject(live), live)
				if policy == v1.DeletionDelete && !apierrors.IsNotFound(err) || policy == v1.DeletionOrphan && (err != nil || live.GetLabels()[v1.LabelAppUID] != "") {
					t.Errorf("the Service has the labels %v, %v; want it removed by %s", live.GetLabels(), err, policy)
				}
				if err := e.c.Client().Get(t.Context(), client.ObjectKeyFromObject(copied), copied); err != nil || copied.GetLabels()[v1.LabelAppUID] == "" {
					t.Errorf("what somebody else made: %v, %v", copied.GetLabels(), err)
				}
			})
		}
	}
}
