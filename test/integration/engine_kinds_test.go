package integration

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
	"github.com/example/myapp-hub/pkg/manifest"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

const (
	networkPolicy = `{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"web"},"spec":{"podSelector":{},"policyTypes":["Ingress"]}}`
	// deviceClass is of the whole cluster, which only the member knows.
	deviceClass = `{"apiVersion":"resource.k8s.io/v1","kind":"DeviceClass","metadata":{"name":"engine"},"spec":{}}`
)

// inventory are the kinds that the cluster has on record.
func (e *engineTest) inventory() []string {
	e.t.Helper()
	record := &corev1.ConfigMap{}
	if err := e.c.Client().Get(e.t.Context(), key("myapp-hub-system", "myapp-hub-inventory"), record); err != nil {
		e.t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(record.Data))
}

// Kinds are recorded before they are used, each object costs one write, a restart
// none, and what is no longer wanted is found after a restart, whatever its kind.
func TestKindsAreWatchedFromTheirFirstUse(t *testing.T) {
	e := newEngineTest(t)
	const group = "kinds.example.com"
	e.serve(group)
	all := e.render(withAllKinds, withSecret, withManifests(networkPolicy, widget(group, `{"size":1}`)))
	mark := e.c.AuditMark()
	e.settle(all)
	want := map[string]int{"namespaces": 1}
	want[plural(all[0].GVK.Kind)]++ // found that the namespace is missing
	for _, m := range all {
		want[plural(m.GVK.Kind)]++
	}
	got := map[string]int{}
	for _, asked := range e.requests(mark) {
		if resource, write := strings.CutPrefix(asked, "patch "); write {
			got[resource]++
		}
	}
	delete(got, "configmaps") // One is the app's, the others are the inventory's.
	delete(want, "configmaps")
	if !maps.Equal(got, want) {
		t.Errorf("writes by resource: %v, want %v", got, want)
	}
	inventory := e.inventory()
	for _, kind := range []string{"ConfigMap", "HorizontalPodAutoscaler.autoscaling", "PodDisruptionBudget.policy", "Secret", "ServiceAccount", "NetworkPolicy.networking.k8s.io", "Widget." + group} {
		if !slices.Contains(inventory, kind) {
			t.Errorf("%s is not in the inventory: %v", kind, inventory)
		}
	}

	e.restart()
	mark = e.c.AuditMark()
	e.settle(all)
	e.asks(mark)

	e.restart()
	few := e.render()
	fleet.Eventually(t, soon, "what is no longer wanted to be pruned", func(ctx context.Context) error {
		e.pass(few)
		for _, m := range all {
			if slices.ContainsFunc(few, func(f manifest.Manifest) bool { return f.GVK == m.GVK }) {
				continue
			}
			if err := e.c.Client().Get(ctx, key(m.Namespace, m.Name), reference(m)); client.IgnoreNotFound(err) != nil || err == nil {
				return fmt.Errorf("%s is still there (%w)", m, err)
			}
		}
		return nil
	})
	e.settle(few)
}

// A kind that the cluster does not have, and one that an app may not have.
func TestKindsThatAreRefused(t *testing.T) {
	e := newEngineTest(t)
	const group = "later.example.com"
	for _, tt := range []struct{ object, reason, kind string }{
		{widget(group, `{"size":1}`), v1.ReasonKindMissing, "Widget"},
		{deviceClass, v1.ReasonNotPermitted, "DeviceClass"},
	} {
		mark := e.c.AuditMark()
		refused, _ := e.pass(e.render(withManifests(tt.object))).Trouble()
		if refused.Action != apply.Refused || refused.Reason != tt.reason {
			t.Errorf("%s: %+v; want it refused as %s", tt.kind, refused, tt.reason)
		}
		says(t, refused.Message, tt.kind, "spec.manifests")
		e.asks(mark)
	}
	e.serve(group)
	e.settle(e.render(withManifests(widget(group, `{"size":1}`))))
}

// When a kind is gone from the cluster, its objects are gone with it: an app can
// still be removed, by an engine that has seen them go, by one whose cache has
// not, and by one that was started later.
func TestRemovalAfterTheKindIsGone(t *testing.T) {
	e := newEngineTest(t)
	const group = "gone.example.com"
	for _, name := range []string{"seen", "stale", "later"} {
		e.as(name)
		e.serve(group)
		life, stop := context.WithCancel(t.Context())
		t.Cleanup(stop)
		e.life = life
		e.restart()
		manifests := e.render(withManifests(widget(group, `{"size":1}`)))
		e.settle(manifests)
		if name == "stale" {
			stop()
		}
		e.undefine(group)
		if name == "later" {
			e.restart()
		}
		e.removed()
	}
}

// undefine takes a kind from the cluster, and its objects with it.
func (e *engineTest) undefine(group string) {
	e.t.Helper()
	crd := fieldsObject(e.t, strings.ReplaceAll(widgetCRD, "GROUP", group))
	if err := e.c.Client().Delete(e.t.Context(), crd); err != nil {
		e.t.Fatal(err)
	}
	fleet.Eventually(e.t, soon, "the kind to be gone", func(ctx context.Context) error {
		if err := e.c.Client().Get(ctx, client.ObjectKeyFromObject(crd), crd); client.IgnoreNotFound(err) != nil || err == nil {
			return errors.New("its definition is still there")
		}
		if e.served(group) == nil {
			return errors.New("it is still served")
		}
		return nil
	})
}

// A kind that goes while it is in use is missing, and nothing that was seen of it
// counts; when it comes back its objects are made and watched again.
func TestKindThatGoesAndComesBack(t *testing.T) {
	e := newEngineTest(t)
	const group = "back.example.com"
	e.serve(group)
	manifests := e.render(withManifests(widget(group, `{"size":1}`)))
	e.settle(manifests)
	e.undefine(group)
	fleet.Eventually(t, soon, "the kind to be missed", func(ctx context.Context) error {
		set, err := e.engine.Apply(ctx, e.owner, manifests, e.policies, e.observe())
		if trouble, _ := set.Trouble(); trouble.Reason != v1.ReasonKindMissing {
			return fmt.Errorf("%+v, %w", set, err)
		}
		return nil
	})
	object := only(t, manifests, "Widget")
	if _, shown := e.observe().HashOf(object); shown {
		t.Error("the cache still shows the object")
	}
	e.serve(group)
	e.settle(manifests)
	e.edit(object, `{"spec":{"size":2}}`)
	if change := e.noticed(manifests); change.Action != apply.Corrected {
		t.Errorf("%+v; want it corrected: it is watched again", change)
	}
	e.removed()
}

func plural(kind string) string {
	if stem, ok := strings.CutSuffix(kind, "y"); ok {
		return strings.ToLower(stem) + "ies"
	}
	return strings.ToLower(kind) + "s"
}
