package rollout

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// A revision goes from the canary, which soaks, to two members, which a person approves, to
// the others; and nothing is written once it is everywhere.
func TestThreeSteps(t *testing.T) {
	f := sharedFleet(t)
	app := created(t, f, "steps", threeSteps())
	w := watchOrder(t, f, app)
	expect.Edit(t, f, app, image("2"))
	begun := time.Now()
	phase(t, f, app, v1.RolloutProgressing, v1.ReasonSoaking)
	phase(t, f, app, v1.RolloutProgressing, v1.ReasonAwaitingApproval)
	if soaked := time.Since(begun); soaked < 3*time.Second {
		t.Errorf("the canary soaked for %s", soaked)
	}
	a := expect.Get(t, f, app)
	for _, name := range members {
		if has, should := expect.Row(a, name).Revision == a.Status.Revision, name == canary || slices.Contains(second, name); has != should {
			t.Errorf("before the approval: %s has the new revision: %v", name, has)
		}
	}
	if c := meta.FindStatusCondition(a.Status.Conditions, v1.ConditionProgressing); c.Reason != v1.ReasonAwaitingApproval || !strings.Contains(c.Message, "kubectl myapp rollout approve steps -n "+namespace) {
		t.Errorf("Progressing is %+v", c)
	}
	if out, err := plugin(t, f, "rollout", "status", "steps", "-w=false"); err != nil || !strings.Contains(out, "3 of 6 members have the current revision") {
		t.Errorf("%v: %s", err, out)
	}
	mustPlugin(t, f, "rollout", "approve", "steps")
	if out := mustPlugin(t, f, "rollout", "status", "steps", "--timeout=60s"); !strings.Contains(out, "steps is rolled out") {
		t.Error(out)
	}
	expect.Ready(t, f, soon, app, members...)
	phase(t, f, app, v1.RolloutCompleted, "")
	if order := w.end(t); len(order) != len(members) || !strings.HasPrefix(order[0], canary+" ") {
		t.Errorf("the order was %v", order)
	}
	for i := range expect.Get(t, f, app).Status.Placements {
		if row := expect.Get(t, f, app).Status.Placements[i]; row.PreviousRevision != "" || row.RevisionTime != nil {
			t.Errorf("it is over, and the row still has %+v", row)
		}
	}

	hub := f.Cluster(fleet.HubName)
	mark := hub.AuditMark()
	fleet.Consistently(t, 3*time.Second, "nothing to write", noWrites(hub, mark, app))

	// Neither replicas nor policies start a rollout.
	revision := expect.Get(t, f, app).Status.Revision
	expect.Edit(t, f, app, func(a *v1.MyApp) {
		a.Spec.Replicas, a.Spec.Rollout.Steps[0].SoakSeconds = ptr.To[int32](2), ptr.To[int32](600)
	})
	expect.Ready(t, f, soon, app, members...)
	if a := expect.Get(t, f, app); a.Status.Revision != revision || a.Status.Rollout.Phase != v1.RolloutCompleted {
		t.Errorf("after scaling: %s, %+v", a.Status.Revision, a.Status.Rollout)
	}
	removed(t, f, app)
}

// An image that never becomes ready: nobody but the canary ever sees it, the canary goes
// back, and it is said why.
func TestBadCanary(t *testing.T) {
	f := sharedFleet(t)
	app := created(t, f, "bad", threeSteps())
	before := map[string]int64{}
	for _, name := range members {
		before[name] = expect.Deployment(t, f, name, app).Generation
	}
	expect.Edit(t, f, app, image("broken"))
	out, err := plugin(t, f, "rollout", "status", "bad", "--timeout=60s")
	if err == nil || !strings.Contains(out, "was taken back") {
		t.Errorf("%v: %s", err, out)
	}
	phase(t, f, app, v1.RolloutRolledBack, "")
	expect.That(t, f, soon, app, "is ready everywhere with what was before", func(a *v1.MyApp) error {
		for _, name := range members {
			if row := expect.Row(a, name); row.Revision != a.Status.Rollout.StableRevision || row.State != v1.PlacementReady {
				return fmt.Errorf("%s is %s with %s", name, row.State, row.Revision)
			}
		}
		return nil
	})
	a := expect.Get(t, f, app)
	for name, want := range map[string]string{v1.ConditionStalled: "True", v1.ConditionReady: "False", v1.ConditionProgressing: "False"} {
		c := meta.FindStatusCondition(a.Status.Conditions, name)
		if string(c.Status) != want || c.Reason != v1.ReasonRolledBack || !strings.Contains(c.Message, canary) || !strings.Contains(c.Message, a.Status.Revision) {
			t.Errorf("%s is %+v", name, c)
		}
	}
	for _, name := range members {
		d := expect.Deployment(t, f, name, app)
		if !strings.HasSuffix(d.Spec.Template.Spec.Containers[0].Image, ":1") {
			t.Errorf("%s runs %s", name, d.Spec.Template.Spec.Containers[0].Image)
		}
		if name != canary && d.Generation != before[name] {
			t.Errorf("the Deployment on %s was changed %d times", name, d.Generation-before[name])
		}
	}
	if out := mustPlugin(t, f, "rollout", "history", "bad"); !strings.Contains(out, "current, failed") || !strings.Contains(out, "stable") {
		t.Error(out)
	}
	// It is not tried again, not even by a hub that is new.
	if err := f.Hub().Kill(); err != nil {
		t.Fatal(err)
	}
	if err := f.Hub().Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	hub := f.Cluster(fleet.HubName)
	fleet.Consistently(t, 5*time.Second, "nothing to write", noWrites(hub, hub.AuditMark(), app))
	mustPlugin(t, f, "rollout", "undo", "bad")
	expect.Ready(t, f, soon, app, members...)
	if out := mustPlugin(t, f, "rollout", "history", "bad"); !strings.Contains(out, "\n3 ") || strings.Contains(out, "\n1 ") {
		t.Errorf("what is current again is not the newest revision:\n%s", out)
	}
	phase(t, f, app, v1.RolloutCompleted, "")
	removed(t, f, app)
}

// The hub is killed over and over during rollouts, good ones and bad ones: each ends as it
// would have.
func TestKilledHub(t *testing.T) {
	f := sharedFleet(t)
	rollout := threeSteps()
	rollout.Steps[0].SoakSeconds, rollout.Steps[1].Approval = ptr.To[int32](1), ""
	app := created(t, f, "killed", rollout)
	w := watchOrder(t, f, app)
	good, kills := "1", times(6, 50)
	for round := 0; kills > 0; round++ {
		tag := fmt.Sprint(round + 2)
		if bad := round%3 == 2; bad {
			tag = "broken"
		} else {
			good = tag
		}
		expect.Edit(t, f, app, image(tag))
		for range 3 {
			time.Sleep(time.Duration(rand.Int64N(int64(2 * time.Second)))) //nolint:gosec // when the hub is killed is up to chance
			if err := f.Hub().Kill(); err != nil {
				t.Fatal(err)
			}
			if err := f.Hub().Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			kills--
		}
		ended(t, f, app, tag, good)
	}
	w.end(t)
	removed(t, f, app)
}

// ended waits until a rollout has come to the end that it must have.
func ended(t *testing.T, f *fleet.Fleet, app types.NamespacedName, tag, good string) {
	t.Helper()
	want := v1.RolloutCompleted
	if tag != good {
		want = v1.RolloutRolledBack
	}
	expect.That(t, f, 2*soon, app, fmt.Sprintf("is %s with %s", want, tag), func(a *v1.MyApp) error {
		r := a.Status.Rollout
		if a.Status.ObservedGeneration != a.Generation || r == nil || r.Phase != want {
			return fmt.Errorf("the rollout is %+v", r)
		}
		for _, name := range members {
			if row := expect.Row(a, name); row.State != v1.PlacementReady || row.Revision != r.StableRevision {
				return fmt.Errorf("%s is %s with %s", name, row.State, row.Revision)
			}
		}
		return nil
	})
	for _, name := range members {
		if is := expect.Deployment(t, f, name, app).Spec.Template.Spec.Containers[0].Image; !strings.HasSuffix(is, ":"+good) {
			t.Errorf("%s runs %s after %s", name, is, tag)
		}
	}
}

// A member that cannot be reached in its step holds nobody up, and catches up.
func TestPartitionedMember(t *testing.T) {
	f := sharedFleet(t)
	rollout := threeSteps()
	rollout.Steps[1].Approval = ""
	app := created(t, f, "parted", rollout)
	expect.Edit(t, f, app, image("2"))
	expect.That(t, f, soon, app, "is at the second step", func(a *v1.MyApp) error {
		if r := a.Status.Rollout; r == nil || r.CurrentStep == nil || r.CurrentStep.Number < 2 {
			return fmt.Errorf("the rollout is %+v", r)
		}
		return nil
	})
	f.Cluster("push-3").Partition()
	t.Cleanup(f.Cluster("push-3").Heal)
	expect.That(t, f, soon, app, "is complete without push-3", func(a *v1.MyApp) error {
		row, r := expect.Row(a, "push-3"), a.Status.Rollout
		if r == nil || r.Phase != v1.RolloutCompleted || row.State != v1.PlacementUnknown {
			return fmt.Errorf("push-3 is %s, and the rollout %+v", row.State, r)
		}
		return nil
	})
	f.Cluster("push-3").Heal()
	expect.Ready(t, f, soon, app, members...)
	if is := expect.Deployment(t, f, "push-3", app).Spec.Template.Spec.Containers[0].Image; !strings.HasSuffix(is, ":2") {
		t.Errorf("push-3 runs %s", is)
	}
	removed(t, f, app)
}

// An override of one member is a new revision for all, and no step for those that it does
// not change: they have it at once, and their pods stay.
func TestOverrideOfOne(t *testing.T) {
	f := sharedFleet(t)
	rollout := threeSteps()
	rollout.Steps[0].Approval = v1.ApprovalRequiredBefore
	app := created(t, f, "override", rollout)
	before := map[string]int64{}
	for _, name := range members {
		before[name] = expect.Deployment(t, f, name, app).Generation
	}
	expect.Edit(t, f, app, func(a *v1.MyApp) {
		a.Spec.Overrides = []v1.Override{{ClusterNames: []v1.ClusterName{v1.ClusterName(canary)}, Args: []string{"--verbose"}}}
	})
	expect.That(t, f, soon, app, "has the revision everywhere but on "+canary, func(a *v1.MyApp) error {
		for _, name := range members {
			row := expect.Row(a, name)
			if has := row.Revision == a.Status.Revision; has == (name == canary) || row.State != v1.PlacementReady || a.Status.ObservedGeneration != a.Generation {
				return fmt.Errorf("%s is %s with %s", name, row.State, row.Revision)
			}
		}
		return nil
	})
	mustPlugin(t, f, "rollout", "approve", "override")
	expect.Ready(t, f, soon, app, members...)
	for _, name := range members {
		if changed := expect.Deployment(t, f, name, app).Generation != before[name]; changed != (name == canary) {
			t.Errorf("the Deployment on %s was changed: %v", name, changed)
		}
	}
	removed(t, f, app)
}
