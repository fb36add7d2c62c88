package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
	"github.com/example/myapp-hub/pkg/hub/render"
	"github.com/example/myapp-hub/pkg/manifest"
)

// foreign is an object of somebody else under the name of the manifest. A kind
// that is rendered and unknown here fails the test.
func foreign(t *testing.T, m manifest.Manifest) client.Object {
	t.Helper()
	meta := metav1.ObjectMeta{Namespace: m.Namespace, Name: m.Name, Labels: map[string]string{"owner": "somebody"}}
	switch m.GVK.Kind {
	case "Service":
		return &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 1}}}}
	case "Deployment":
		pod := map[string]string{"mine": "yes"}
		return &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: pod},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: pod},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "mine"}}},
			},
		}}
	}
	t.Fatalf("this test does not know how to make a foreign %s: add it", m.GVK.Kind)
	return nil
}

// A first apply must not seize an object that exists, of any kind that is
// rendered: it is neither changed nor owned afterwards.
func TestFirstApplySeizesNothing(t *testing.T) {
	e := newEngineTest(t)
	e.namespace()
	for _, m := range e.render() {
		t.Run(m.GVK.Kind, func(t *testing.T) {
			theirs := foreign(t, m)
			if err := e.c.Client().Create(t.Context(), theirs); err != nil {
				t.Fatal(err)
			}
			for _, memory := range []string{"fresh", "of the refusal"} {
				set := e.apply([]manifest.Manifest{m}, e.observe())
				refused, ok := set.Trouble()
				if !ok || refused.Reason != v1.ReasonNotOwned {
					t.Errorf("with memory %s: %+v; want it refused as %s", memory, set.Changes, v1.ReasonNotOwned)
				}
			}
			after := foreign(t, m)
			if err := e.c.Client().Get(t.Context(), client.ObjectKeyFromObject(theirs), after); err != nil {
				t.Fatal(err)
			}
			if after.GetResourceVersion() != theirs.GetResourceVersion() || after.GetUID() != theirs.GetUID() {
				t.Errorf("it was written: %+v", after.GetManagedFields())
			}
			if err := e.c.Client().Delete(t.Context(), theirs); err != nil {
				t.Fatal(err)
			}
			if got := actions(e.apply([]manifest.Manifest{m}, e.observe())); got[0] != apply.Created {
				t.Errorf("after it was gone: %v, want Created", got)
			}
		})
	}
}

func (e *engineTest) namespace() {
	e.t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: e.owner.Namespace}}
	if err := e.c.Client().Create(e.t.Context(), ns); err != nil {
		e.t.Fatal(err)
	}
}

// A Namespace that exists is used as it is.
func TestExistingNamespaceIsNotTouched(t *testing.T) {
	e := newEngineTest(t)
	e.namespace()
	before := &corev1.Namespace{}
	if err := e.c.Client().Get(t.Context(), types.NamespacedName{Name: e.owner.Namespace}, before); err != nil {
		t.Fatal(err)
	}
	e.apply(e.render(), e.observe())
	after := &corev1.Namespace{}
	if err := e.c.Client().Get(t.Context(), types.NamespacedName{Name: e.owner.Namespace}, after); err != nil {
		t.Fatal(err)
	}
	if before.ResourceVersion != after.ResourceVersion {
		t.Errorf("the Namespace was written: %+v", after.ManagedFields)
	}
}

// A later apply must not recreate what has gone since the cache showed it.
func TestLaterApplyDoesNotRecreate(t *testing.T) {
	e := newEngineTest(t)
	first := e.render()
	e.apply(first, e.observe())
	e.cached(first)
	stale := e.observe()
	e.restart()
	for _, o := range []client.Object{&appsv1.Deployment{}, &corev1.Service{}} {
		o.SetNamespace(e.owner.Namespace)
		o.SetName(e.owner.Name)
		if err := e.c.Client().Delete(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range e.render(func(in *render.Input) { in.Replicas = 3; in.Template.Service.Ports[0].Port = 81 }) {
		_, err := e.engine.Apply(t.Context(), e.owner, []manifest.Manifest{m}, e.policies, stale)
		if !apierrors.IsConflict(err) {
			t.Errorf("%s: %v; want a conflict", m, err)
		}
	}
	for _, list := range []client.ObjectList{&appsv1.DeploymentList{}, &corev1.ServiceList{}} {
		if err := e.c.Client().List(t.Context(), list, client.InNamespace(e.owner.Namespace)); err != nil {
			t.Fatal(err)
		}
		if n := lenOf(list); n != 0 {
			t.Errorf("%T: %d objects were recreated", list, n)
		}
	}
}

func lenOf(list client.ObjectList) int {
	switch l := list.(type) {
	case *appsv1.DeploymentList:
		return len(l.Items)
	case *corev1.ServiceList:
		return len(l.Items)
	}
	return -1
}

// A field that is dropped really goes, one that others own stays, and what did
// not change costs no request.
func TestApplyTakesBackWhatIsDropped(t *testing.T) {
	e := newEngineTest(t)
	first := e.render()
	if got := actions(e.apply(first, e.observe())); !slices.Equal(got, []apply.Action{apply.Created, apply.Created}) {
		t.Fatalf("the first apply: %v", got)
	}
	e.cached(first)
	mark := e.c.AuditMark()
	if got := actions(e.apply(first, e.observe())); !slices.Equal(got, []apply.Action{apply.Unchanged, apply.Unchanged}) {
		t.Errorf("the same again: %v", got)
	}
	theirs := []byte(`{"spec":{"template":{"metadata":{"annotations":{"theirs":"yes"}}}}}`)
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: e.owner.Namespace, Name: e.owner.Name}}
	if err := e.c.Client().Patch(t.Context(), d, client.RawPatch(types.StrategicMergePatchType, theirs)); err != nil {
		t.Fatal(err)
	}
	events, err := e.c.AuditSince(mark)
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range events {
		if ev.Namespace == e.owner.Namespace && ev.Verb != "watch" && ev.Code != 200 {
			t.Errorf("applying the same again asked: %+v", ev)
		}
	}
	second := e.render(func(in *render.Input) { in.Template.Env = in.Template.Env[:1] })
	if got := actions(e.apply(second, e.observe())); !slices.Equal(got, []apply.Action{apply.Unchanged, apply.Updated}) {
		t.Errorf("a dropped variable: %v", got)
	}
	if err := e.c.Client().Get(t.Context(), client.ObjectKeyFromObject(d), d); err != nil {
		t.Fatal(err)
	}
	if env := d.Spec.Template.Spec.Containers[0].Env; len(env) != 1 || env[0].Name != "A" {
		t.Errorf("env is %v, want A alone", env)
	}
	if d.Spec.Template.Annotations["theirs"] != "yes" {
		t.Error("a field of another manager was taken")
	}
	// Right after its own write the engine does not need the cache to know.
	if got := actions(e.apply(second, e.observe())); !slices.Equal(got, []apply.Action{apply.Unchanged, apply.Unchanged}) {
		t.Errorf("right after the write: %v", got)
	}
}

// Only what carries all our marks is pruned or removed; what another hub marked
// for the same app keeps the removal from being done.
func TestRemoveTakesOnlyOurs(t *testing.T) {
	e := newEngineTest(t)
	manifests := e.render()
	e.apply(manifests, e.observe())
	e.cached(manifests)
	other := apply.Owner{HubID: "hub-2", Namespace: e.owner.Namespace, Name: "other", UID: e.owner.UID}
	otherEngine := *e
	otherEngine.owner = other
	if _, err := e.engine.Apply(t.Context(), other, otherEngine.render(func(in *render.Input) { in.Template.Service = nil }), e.policies, apply.Observed{}); err != nil {
		t.Fatal(err)
	}
	removal, err := e.engine.Remove(t.Context(), e.owner, v1.DeletionDelete)
	if err != nil {
		t.Fatal(err)
	}
	if removal.Done || len(removal.Left) != 1 || !strings.Contains(removal.Left[0], "hub-2") {
		t.Errorf("removal %+v; want the other hub's Deployment named and the removal not done", removal)
	}
	var left appsv1.DeploymentList
	if err := e.c.Client().List(t.Context(), &left, client.InNamespace(e.owner.Namespace)); err != nil {
		t.Fatal(err)
	}
	if len(left.Items) != 1 || left.Items[0].Name != "other" {
		t.Errorf("left are %d Deployments, want the other hub's alone", len(left.Items))
	}
	if removal, err = e.engine.Remove(t.Context(), other, v1.DeletionDelete); err != nil || !removal.Done {
		t.Errorf("the other hub's own removal: %+v, %v", removal, err)
	}
}

// An object that cannot go yet is named with its finalizer.
func TestRemoveNamesFinalizers(t *testing.T) {
	e := newEngineTest(t)
	e.apply(e.render(), e.observe())
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: e.owner.Namespace, Name: e.owner.Name}}
	pin := func(finalizers string) {
		patch := fmt.Appendf(nil, `{"metadata":{"finalizers":%s}}`, finalizers)
		if err := e.c.Client().Patch(t.Context(), d, client.RawPatch(types.MergePatchType, patch)); err != nil {
			t.Fatal(err)
		}
	}
	pin(`["example.org/hold"]`)
	removal, err := e.engine.Remove(t.Context(), e.owner, v1.DeletionDelete)
	if err != nil || removal.Done || len(removal.Left) != 1 || !strings.Contains(removal.Left[0], "example.org/hold") {
		t.Errorf("removal %+v, %v; want the finalizer named", removal, err)
	}
	pin(`null`)
	e.removed()
}

// What the API server refuses says why, and nothing after it is tried.
func TestRefusedByTheServer(t *testing.T) {
	e := newEngineTest(t)
	manifests := e.render(func(in *render.Input) { in.Replicas = -1 })
	set := e.apply(manifests, e.observe())
	refused, ok := set.Trouble()
	if !ok || refused.Reason != v1.ReasonRejected || !strings.Contains(refused.Message, "replicas") {
		t.Errorf("%+v; want it Rejected with the field", set.Changes)
	}
	if f := apply.Feedback(set, manifests, e.observe(), nil); f.State != v1.FeedbackFailed || f.AppliedHash != "" {
		t.Errorf("feedback %+v; want Failed and no applied hash", f)
	}
}
