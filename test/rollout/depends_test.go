package rollout

import (
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// An app that depends on another comes to a member once that one is ready there, gets a new
// revision there once that one has its own, and apps cannot wait for each other.
func TestDependsOn(t *testing.T) {
	f := sharedFleet(t)
	on := []string{"pull-1", "push-1", "push-2"}
	web, db := key("waits"), key("db")
	expect.Create(t, f, expect.App(namespace, web.Name, expect.On(on...), func(a *v1.MyApp) { a.Spec.DependsOn = []v1.Dependency{{Name: db.Name}} }))
	waiting := func(says string) func(*v1.MyApp) error {
		return func(a *v1.MyApp) error {
			c := meta.FindStatusCondition(a.Status.Conditions, v1.ConditionReady)
			if c == nil || c.Reason != v1.ReasonAwaitingDependency || !strings.Contains(c.Message, says) {
				return fmt.Errorf("Ready is %+v", c)
			}
			return nil
		}
	}
	expect.That(t, f, soon, web, "waits for an app that does not exist", waiting("db, which it depends on, does not exist"))
	if rows := expect.Get(t, f, web).Status.Placements; len(rows) > 0 {
		t.Errorf("it waits, and has rows: %+v", rows)
	}
	// The other one is ready on one of three members.
	expect.Create(t, f, expect.App(namespace, db.Name, expect.On("push-1", "push-2"), func(a *v1.MyApp) {
		a.Spec.Overrides = []v1.Override{{ClusterNames: []v1.ClusterName{"push-2"}, Image: &v1.ImageOverride{Tag: "broken"}}}
	}))
	expect.That(t, f, soon, web, "is on push-1 alone", func(a *v1.MyApp) error {
		if len(a.Status.Placements) != 1 || a.Status.Placements[0].Cluster != "push-1" || a.Status.Placements[0].State != v1.PlacementReady {
			return fmt.Errorf("it is on %s", expect.Summary(a))
		}
		return waiting("2 of its members wait")(a)
	})
	expect.Edit(t, f, db, func(a *v1.MyApp) {
		a.Spec.Placement, a.Spec.Overrides = expect.App("", "", expect.On(on...)).Spec.Placement, nil
	})
	expect.Ready(t, f, soon, web, on...)

	// A new revision waits for the other's, replicas do not.
	expect.Edit(t, f, db, image("broken"))
	expect.That(t, f, soon, db, "is not ready", func(a *v1.MyApp) error {
		if a.Status.ObservedGeneration != a.Generation || meta.IsStatusConditionTrue(a.Status.Conditions, v1.ConditionReady) {
			return fmt.Errorf("it is")
		}
		return nil
	})
	before := expect.Get(t, f, web).Status.Revision
	expect.Edit(t, f, web, func(a *v1.MyApp) { image("2")(a); a.Spec.Replicas = new(int32); *a.Spec.Replicas = 2 })
	expect.That(t, f, soon, web, "is scaled, and waits", func(a *v1.MyApp) error {
		for _, name := range on {
			if row := expect.Row(a, name); row.Revision != before || row.Replicas != 2 || row.State != v1.PlacementReady {
				return fmt.Errorf("%s has %+v", name, row)
			}
		}
		return waiting("db, which it depends on, is not Ready on pull-1")(a)
	})
	// Nor does what may be seen as a circle be made.
	circle := expect.Get(t, f, db)
	circle.Spec.DependsOn = []v1.Dependency{{Name: web.Name}}
	err := f.Cluster(fleet.HubName).Client().Update(t.Context(), circle)
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "db → waits → db") {
		t.Errorf("a circle: %v", err)
	}
	expect.Edit(t, f, db, image("2"))
	expect.Ready(t, f, soon, web, on...)
	for _, app := range []string{"waits", "db"} {
		expect.Delete(t, f, key(app))
		expect.Gone(t, f, soon, key(app), members...)
	}
}
