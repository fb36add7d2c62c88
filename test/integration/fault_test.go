package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
)

// How long the hub may take to notice a silent member: by probes and pings for
// Push, by the lease for Pull.
const (
	noticePush = 20 * time.Second
	noticePull = 60 * time.Second
)

// A member whose API server dies is Unknown and heals; a new app does not go there. An
// agent lives on then, and must not speak for it.
func TestCrashedMember(t *testing.T) {
	for lost, notice := range map[string]time.Duration{"push-4": noticePush, "pull-2": noticePull} {
		t.Run(lost, func(t *testing.T) { crashed(t, lost, notice) })
	}
}

func crashed(t *testing.T, lost string, notice time.Duration) {
	f := sharedFleet(t)
	ns := namespace(t, f)
	before, during := key(ns, "before"), key(ns, "during")
	everywhere := func(a *v1.MyApp) { expect.On("push-3", lost)(a) }
	expect.Create(t, f, expect.App(ns, before.Name, everywhere))
	expect.Ready(t, f, soon, before, "push-3", lost)
	if err := f.Cluster(lost).Crash(); err != nil {
		t.Fatal(err)
	}
	crash := time.Now()
	expect.That(t, f, notice, before, "is Unknown on "+lost, func(a *v1.MyApp) error {
		if row := expect.Row(a, lost); row.State != v1.PlacementUnknown {
			return fmt.Errorf("it is %s", row.State)
		}
		return nil
	})
	t.Logf("the crash was noticed after %s", time.Since(crash).Round(time.Millisecond))
	expect.Create(t, f, expect.App(ns, during.Name, everywhere))
	expect.Ready(t, f, soon, during, "push-3")
	if err := f.Cluster(lost).Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	expect.Ready(t, f, soon, before, "push-3", lost)
	t.Logf("the member was believed again %s after it was back", time.Since(back).Round(time.Millisecond))
	expect.Ready(t, f, soon, during, "push-3", lost)
	t.Logf("the member had caught up %s after it was back", time.Since(back).Round(time.Millisecond))
	for _, app := range []string{before.Name, during.Name} {
		expect.Delete(t, f, key(ns, app))
		expect.Gone(t, f, soon, key(ns, app), "push-3", lost)
	}
}

// A MyApp that is deleted while a member is cut off stays, says what it waits
// for, and goes when the member is back and empty.
func TestDeletionWaitsForMember(t *testing.T) {
	for _, lost := range []string{"push-4", "pull-2"} {
		t.Run(lost, func(t *testing.T) {
			f := sharedFleet(t)
			app := key(namespace(t, f), "web")
			expect.Create(t, f, expect.App(app.Namespace, app.Name, expect.WithService, expect.On("push-1", lost)))
			expect.Ready(t, f, soon, app, "push-1", lost)
			f.Cluster(lost).Partition()
			t.Cleanup(f.Cluster(lost).Heal)
			expect.Delete(t, f, app)
			expect.That(t, f, noticePull, app, "waits for "+lost, func(a *v1.MyApp) error {
				if len(a.Status.Placements) != 1 || expect.Row(a, lost) == nil || expect.Row(a, lost).State != v1.PlacementRemoving {
					return fmt.Errorf("the rows are not the one of %s, Removing", lost)
				}
				for _, c := range a.Status.Conditions {
					if c.Type == v1.ConditionReady && !strings.Contains(c.Message, "waiting for "+lost) {
						return fmt.Errorf("the message does not name %s: %s", lost, c.Message)
					}
				}
				return expect.Condition(a, v1.ConditionReady, "False", v1.ReasonDeleting)
			})
			if left := expect.Objects(t, f, lost, app.Namespace); len(left) != 2 {
				t.Errorf("%s has %v while it is cut off", lost, left)
			}
			f.Cluster(lost).Heal()
			expect.Gone(t, f, soon, app, "push-1", lost)
		})
	}
}

// The hub starts, becomes ready and works although a member has been a black
// hole from the beginning.
func TestHubStartsBesideBlackHole(t *testing.T) {
	f := sharedFleet(t)
	app := key(namespace(t, f), "web")
	if err := f.Hub().Stop(); err != nil {
		t.Fatal(err)
	}
	f.Cluster("push-4").Partition()
	t.Cleanup(f.Cluster("push-4").Heal)
	started := time.Now()
	if err := f.Hub().Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("the hub was ready after %s", time.Since(started).Round(time.Millisecond))
	expect.Create(t, f, expect.App(app.Namespace, app.Name, expect.On("push-1", "push-4", "pull-1")))
	expect.That(t, f, soon, app, "is Ready on the members that answer", func(a *v1.MyApp) error {
		for _, m := range []string{"push-1", "pull-1"} {
			if row := expect.Row(a, m); row == nil || row.State != v1.PlacementReady {
				return fmt.Errorf("%s: %+v", m, row)
			}
		}
		return nil
	})
	f.Cluster("push-4").Heal()
	expect.Ready(t, f, soon, app, "push-1", "push-4", "pull-1")
	expect.Delete(t, f, app)
	expect.Gone(t, f, soon, app, "push-1", "push-4", "pull-1")
}
