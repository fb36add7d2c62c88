package integration

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
	"github.com/example/myapp-hub/pkg/hub/render"
	"github.com/example/myapp-hub/pkg/manifest"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// The order of a hub that is older than what it has written is not carried out:
// nothing is changed, made, pruned or removed.
func TestOlderHubChangesNothing(t *testing.T) {
	e := newEngineTest(t)
	e.namespace()
	for i, tt := range []struct {
		reason          string
		wrote, restored manifest.Stamp
	}{
		{"an older generation", manifest.Stamp{Generation: 5, SpecHash: "v1-a"}, manifest.Stamp{Generation: 4, SpecHash: "v1-b"}},
		{"the same generation of another spec", manifest.Stamp{Generation: 5, SpecHash: "v1-a"}, manifest.Stamp{Generation: 5, SpecHash: "v1-b"}},
		{"an older epoch", manifest.Stamp{Epoch: 2, Generation: 1, SpecHash: "v1-a"}, manifest.Stamp{Epoch: 1, Generation: 9, SpecHash: "v1-b"}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			e.t = t
			e.as(fmt.Sprintf("web-%d", i))
			e.owner.Stamp = tt.wrote
			written := e.render(withConfig, withoutService)
			e.settle(written)
			e.owner.Stamp = tt.restored
			ordered := e.render(func(in *render.Input) { in.Template.Image = "registry.example.com/web:0" })
			before, mark := e.live(only(t, written, "Deployment")), e.c.AuditMark()
			refused := func(change apply.Change) {
				t.Helper()
				if change.Action != apply.Refused || change.Reason != v1.ReasonHubRestored {
					t.Errorf("%+v; want it refused as %s", change, v1.ReasonHubRestored)
				}
				says(t, change.Message, "restored from a backup", fmt.Sprintf("generation %d", tt.wrote.Generation))
			}
			set := e.pass(ordered)
			refused(set.Changes[0])
			removal, err := e.engine.Remove(t.Context(), e.owner, v1.DeletionDelete)
			if err != nil || removal.Done || removal.Refused == nil {
				t.Fatalf("removal %+v, %v; want it refused", removal, err)
			}
			refused(*removal.Refused)
			for _, asked := range e.requests(mark) {
				if asked[:4] != "list" {
					t.Errorf("the engine asked %q", asked)
				}
			}
			e.untouched(before, only(t, written, "Deployment"))

			// Without a cache that shows it, the live read of the object tells.
			e.restart()
			refused(e.alone(only(t, ordered, "Deployment")))
			e.untouched(before, only(t, written, "Deployment"))

			e.owner.Stamp = manifest.Stamp{Epoch: tt.wrote.Epoch + 1}
			e.settle(e.render(func(in *render.Input) { in.Template.Image = "registry.example.com/web:0" }))
		})
	}
}

// An app that was deleted and made again, or made anew from a backup, has another
// UID. What its predecessor left is adopted by the policy, and without asking once
// a person has released the hub; the pods do not restart.
func TestEarlierAppIsAdopted(t *testing.T) {
	e := newEngineTest(t)
	e.owner.UID = "uid-0"
	e.settle(e.render(withAllKinds))
	e.owner.UID = "uid-1"
	for _, m := range e.render(withAllKinds) {
		before := e.live(m)
		change := e.alone(m)
		if change.Action != apply.Refused || change.Reason != v1.ReasonNotOwned {
			t.Errorf("in the same epoch: %+v; want it refused as %s", change, v1.ReasonNotOwned)
		}
		says(t, change.Message, m.String(), "earlier app of this name", "spec.adoption")
		e.untouched(before, m)
	}
	e.policies.Adoption = v1.AdoptIfIdentical
	e.takesOver(e.render(withAllKinds))

	e.policies.Adoption = v1.AdoptNever
	e.owner.UID = "uid-2"
	e.owner.Stamp.Epoch++
	e.takesOver(e.render(withAllKinds))
}

// takesOver adopts the objects one by one; only marks change.
func (e *engineTest) takesOver(manifests []manifest.Manifest) {
	e.t.Helper()
	for _, m := range manifests {
		before := e.live(m)
		if change := e.alone(m); change.Action != apply.Adopted {
			e.t.Errorf("%+v; want it adopted", change)
		}
		after := e.live(m)
		if after.GetLabels()[v1.LabelAppUID] != string(e.owner.UID) {
			e.t.Errorf("%s has the labels %v; want our marks", m, after.GetLabels())
		}
		for _, u := range []*unstructured.Unstructured{before, after} {
			u.SetLabels(nil)
			u.SetAnnotations(nil)
		}
		if diff := cmp.Diff(values(before), values(after)); diff != "" {
			e.t.Errorf("adopting %s changed more than marks (-before +after):\n%s", m, diff)
		}
	}
	e.settle(manifests)
}

// A hold that begins in the middle of a pass stops it before the next write.
func TestHoldStopsAPass(t *testing.T) {
	e := newEngineTest(t)
	e.namespace()
	allowed := 1
	e.held = func() (string, bool) {
		allowed--
		return "it was restored", allowed < 0
	}
	// stopped carries manifests out until the hold ends the pass.
	stopped := func(manifests []manifest.Manifest) apply.ChangeSet {
		t.Helper()
		set, err := e.engine.Apply(t.Context(), e.owner, manifests, e.policies, e.observe())
		if !errors.Is(err, apply.ErrHeld) {
			t.Fatalf("%+v, %v; want the pass ended by the hold", set, err)
		}
		says(t, err.Error(), "it was restored")
		return set
	}
	manifests := e.render()
	mark := e.c.AuditMark()
	if set := stopped(manifests); len(set.Changes) != 1 || set.Changes[0].Action != apply.Created {
		t.Fatalf("%+v; want the first object created", set)
	}
	e.asks(mark, "patch services")

	e.held = nil
	e.settle(manifests)
	e.held = func() (string, bool) { return "it was restored", true }
	before := e.live(only(t, manifests, "Deployment"))
	e.edit(only(t, manifests, "Service"), `[{"op":"replace","path":"/spec/ports/0/targetPort","value":9}]`)
	fleet.Eventually(t, soon, "the drift to be noticed", func(ctx context.Context) error {
		set, err := e.engine.Apply(ctx, e.owner, manifests, e.policies, e.observe())
		if !errors.Is(err, apply.ErrHeld) {
			return fmt.Errorf("%+v, %w", set, err)
		}
		return nil
	})
	stopped(e.render(withoutService))
	if removal, err := e.engine.Remove(t.Context(), e.owner, v1.DeletionDelete); !errors.Is(err, apply.ErrHeld) {
		t.Fatalf("removal %+v, %v; want it ended by the hold", removal, err)
	}
	e.untouched(before, only(t, manifests, "Deployment"))
	e.held = nil
	if change := e.noticed(manifests); change.Action != apply.Corrected {
		t.Errorf("after the hold: %+v; want it corrected at once", change)
	}
}
