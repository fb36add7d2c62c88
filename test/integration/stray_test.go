package integration

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// Objects that no recorded decision explains, as after a hub was restored from a
// backup, become rows in state Stray and stay, until the member is chosen or the
// app is deleted.
func TestStrayIsLeftAlone(t *testing.T) {
	f := sharedFleet(t)
	strays := []string{"push-1", "pull-1"}
	app := key(namespace(t, f), "web")
	expect.Create(t, f, expect.App(app.Namespace, app.Name, expect.On(strays...)))
	expect.Ready(t, f, soon, app, strays...)
	uids := map[string]types.UID{}
	for _, m := range strays {
		uids[m] = expect.Deployment(t, f, m, app).UID
	}

	if err := f.Hub().Stop(); err != nil {
		t.Fatal(err)
	}
	expect.Edit(t, f, app, expect.On("push-2"))
	hub := f.Cluster(fleet.HubName).Client()
	fleet.Eventually(t, soon, "the rows to be lost", func(ctx context.Context) error {
		lost := &v1.MyApp{}
		if err := hub.Get(ctx, app, lost); err != nil {
			return err
		}
		lost.Status.Placements = nil
		return hub.Status().Update(ctx, lost)
	})
	if err := f.Hub().Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	areStrays := func(a *v1.MyApp) error {
		for _, m := range strays {
			if row := expect.Row(a, m); row == nil || row.State != v1.PlacementStray {
				return fmt.Errorf("the row of %s is %+v", m, row)
			}
		}
		if row := expect.Row(a, "push-2"); row == nil || row.State != v1.PlacementReady {
			return fmt.Errorf("the row of push-2 is %+v", row)
		}
		return nil
	}
	expect.That(t, f, time.Minute, app, "has strays", areStrays)
	fleet.Consistently(t, 3*time.Second, "the strays stay", func(context.Context) error {
		for _, m := range strays {
			if uid := expect.Deployment(t, f, m, app).UID; uid != uids[m] {
				return fmt.Errorf("%s has another Deployment", m)
			}
		}
		return areStrays(expect.Get(t, f, app))
	})

	expect.Edit(t, f, app, expect.On("push-1", "push-2"))
	expect.That(t, f, soon, app, "has taken over the stray of push-1", func(a *v1.MyApp) error {
		if row := expect.Row(a, "push-1"); row == nil || row.State != v1.PlacementReady {
			return fmt.Errorf("the row of push-1 is %+v", row)
		}
		return nil
	})
	if uid := expect.Deployment(t, f, "push-1", app).UID; uid != uids["push-1"] {
		t.Error("the stray was made anew, not taken over")
	}
	expect.Delete(t, f, app)
	expect.Gone(t, f, soon, app, "push-1", "push-2", "pull-1")
}

// A deletion ends although somebody else writes the MyApp all the time: the
// finalizer's conflicts cost a pass, not the order.
func TestDeletionUnderContention(t *testing.T) {
	f := sharedFleet(t)
	ns := namespace(t, f)
	members := []string{"push-1", "push-2"}
	hub := f.Cluster(fleet.HubName).Client()
	for i := range 5 {
		app := key(ns, fmt.Sprintf("web-%d", i))
		expect.Create(t, f, expect.App(ns, app.Name, expect.On(members...)))
		expect.Ready(t, f, soon, app, members...)
		ctx, stop := context.WithCancel(t.Context())
		var writer sync.WaitGroup
		writer.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"n":"%d"}}}`, n)
				target := expect.App(ns, app.Name)
				if err := hub.Patch(ctx, target, client.RawPatch(types.MergePatchType, patch)); client.IgnoreNotFound(err) == nil && err != nil {
					return
				}
			}
		})
		expect.Delete(t, f, app)
		expect.Gone(t, f, soon, app, members...)
		stop()
		writer.Wait()
	}
}
