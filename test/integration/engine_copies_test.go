package integration

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// Controllers copy labels: an EndpointSlice has those of its Service. What has our
// labels, an owner on the cluster and nothing from us is not ours: it is not
// pruned, it is not removed, and no removal waits for it.
func TestCopiesOfLabelsAreNotOurs(t *testing.T) {
	e := newEngineTest(t)
	manifests := e.render(withConfig)
	e.settle(manifests)
	d := e.deployment()
	copied := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: e.owner.Namespace, Name: "copy", Labels: d.Labels,
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: d.Name, UID: d.UID}},
	}}
	if err := e.c.Client().Create(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	mark := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: e.owner.Namespace, Name: "later", Labels: d.Labels}}
	if err := e.c.Client().Create(t.Context(), mark); err != nil {
		t.Fatal(err)
	}
	// Without an owner it is taken for ours: once the engine has seen that one, it
	// has seen the copy too.
	fleet.Eventually(t, soon, "the later ConfigMap to be pruned", func(ctx context.Context) error {
		e.pass(manifests)
		err := e.c.Client().Get(ctx, client.ObjectKeyFromObject(mark), &corev1.ConfigMap{})
		if err == nil {
			return errors.New("it is there")
		}
		return client.IgnoreNotFound(err)
	})
	if set := e.pass(manifests); set.Writes() != 0 {
		t.Errorf("%+v; want nothing written", set.Changes)
	}
	if err := e.c.Client().Get(t.Context(), client.ObjectKeyFromObject(copied), &corev1.ConfigMap{}); err != nil {
		t.Errorf("the copy was pruned: %v", err)
	}
	e.removed()
}

// A removal does not believe an inventory that is gone: what is rendered is
// looked for all the same.
func TestRemovalDoesNotNeedTheInventory(t *testing.T) {
	e := newEngineTest(t)
	e.settle(e.render(withConfig))
	inventory := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "myapp-hub-system", Name: "myapp-hub-inventory"}}
	if err := e.c.Client().Delete(t.Context(), inventory); err != nil {
		t.Fatal(err)
	}
	e.restart()
	e.removed()
	err := e.c.Client().Get(t.Context(), types.NamespacedName{Namespace: e.owner.Namespace, Name: e.owner.Name}, &corev1.ConfigMap{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("the ConfigMap is left: %v", err)
	}
}

// An answer of 404 to a list is not the proof that a kind is gone: a proxy may
// give it.
func TestRemovalBelievesNo404(t *testing.T) {
	e := newEngineTest(t)
	e.settle(e.render())
	e.answer = func(r *http.Request) *http.Response {
		if r.Method != http.MethodGet || r.URL.Query().Get("watch") != "" || !strings.HasSuffix(r.URL.Path, "/deployments") {
			return nil
		}
		return &http.Response{StatusCode: http.StatusNotFound, Body: http.NoBody, Header: http.Header{}, Request: r}
	}
	if removal, err := e.engine.Remove(t.Context(), e.owner, v1.DeletionDelete); err == nil || removal.Done {
		t.Errorf("%+v, %v; want an error", removal, err)
	}
	e.answer = nil
	e.removed()
}

// What is no longer wanted and cannot go yet is named, with what holds it.
func TestPrunedObjectIsWaitedFor(t *testing.T) {
	e := newEngineTest(t)
	first := e.render()
	service := only(t, first, "Service")
	e.settle(first)
	e.edit(service, `{"metadata":{"finalizers":["example.org/hold"]}}`)
	without := e.render(withoutService)
	fleet.Eventually(t, soon, "the Service to be held by its finalizer", func(context.Context) error {
		set := e.pass(without)
		last := set.Changes[len(set.Changes)-1]
		if last.Action != apply.Refused || last.Reason != v1.ReasonTerminating || !strings.Contains(last.Message, "example.org/hold") || last.Retry == 0 {
			return fmt.Errorf("the last change is %+v", last)
		}
		return nil
	})
	e.edit(service, `{"metadata":{"finalizers":null}}`)
	e.settle(without)
}
