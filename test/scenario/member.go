package scenario

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// onEach runs a scenario on the member of each mode.
func onEach(t *testing.T, w World, run func(t *testing.T, w World, member string)) {
	for _, member := range w.pair() {
		t.Run(member, func(t *testing.T) { run(t, w, member) })
	}
}

// A name that a member uses for something else is refused, said, and not touched.
func foreignObjectIsNotSeized(t *testing.T, w World) {
	onEach(t, w, func(t *testing.T, w World, member string) {
		app := w.web(t)
		theirs := w.Images.Second
		w.kubectl(t, member, `{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "`+app.Namespace+`"}}`, "apply", "-f", "-")
		w.kubectl(t, member, "", "create", "deployment", "-n", app.Namespace, "web", "--image="+theirs)
		expect.Create(t, w.Fleet, w.app(app, expect.On(member)))
		expect.That(t, w.Fleet, w.Soon, app, "is refused", func(a *v1.MyApp) error {
			row := expect.Row(a, member)
			if row == nil || row.State != v1.PlacementFailed || row.Reason != v1.ReasonNotOwned {
				return fmt.Errorf("the row is %+v", row)
			}
			return expect.Condition(a, v1.ConditionStalled, "True", v1.ReasonMemberFailed)
		})
		if err := w.Runs(t, member, app, theirs); err != nil {
			t.Errorf("the foreign Deployment was changed: %v", err)
		}
		if d := expect.Deployment(t, w.Fleet, member, app); d.Labels[v1.LabelHubID] != "" {
			t.Errorf("the foreign Deployment was seized: %+v", d.ObjectMeta)
		}
		expect.Delete(t, w.Fleet, app)
		expect.Gone(t, w.Fleet, w.Soon, app)
		expect.Deployment(t, w.Fleet, member, app)
		w.kubectl(t, member, "", "delete", "deployment", "-n", app.Namespace, "web")
	})
}

// An object that is deleted on a member comes back.
func deletedObjectComesBack(t *testing.T, w World) {
	onEach(t, w, func(t *testing.T, w World, member string) {
		app := w.web(t)
		expect.Create(t, w.Fleet, w.app(app, expect.On(member)))
		expect.Ready(t, w.Fleet, w.Soon, app, member)
		before := expect.Deployment(t, w.Fleet, member, app).UID
		w.kubectl(t, member, "", "delete", "deployment", "-n", app.Namespace, "web")
		fleet.Eventually(t, w.Soon, "a new Deployment", func(context.Context) error {
			out, err := expect.Kubectl(t, w.Fleet.Kubeconfig(member), "", "get", "deployment", "-n", app.Namespace, "web", "-o", "jsonpath={.metadata.uid}")
			if err != nil || out == string(before) {
				return fmt.Errorf("it is %s (%w)", out, err)
			}
			return nil
		})
		expect.Ready(t, w.Fleet, w.Soon, app, member)
		w.Remove(t, app)
	})
}

// PartitionDuringUpdate cuts members off, one by one. Meanwhile an update reaches the others in normal time, those of its
// mode included, its own row says Unknown with the time of its last report, and when it
// is back it catches up by itself.
func PartitionDuringUpdate(t *testing.T, w World) {
	onEach(t, w, func(t *testing.T, w World, lost string) {
		app := w.web(t)
		expect.Create(t, w.Fleet, w.app(app, expect.On(w.Members...)))
		expect.Ready(t, w.Fleet, w.Soon, app, w.Members...)

		heal := w.Cut(t, lost)
		t.Cleanup(heal)
		cut := time.Now()
		expect.Edit(t, w.Fleet, app, func(a *v1.MyApp) { a.Spec.Image = w.Images.Second })
		others := slices.DeleteFunc(slices.Clone(w.Members), func(m string) bool { return m == lost })
		expect.That(t, w.Fleet, w.Prompt, app, "is updated on the others", func(a *v1.MyApp) error {
			for _, m := range others {
				if row := expect.Row(a, m); row.State != v1.PlacementReady || !row.Updated || row.Revision != a.Status.Revision || a.Status.ObservedGeneration != a.Generation {
					return fmt.Errorf("%s is %s", m, row.State)
				}
			}
			return nil
		})
		t.Logf("the others were updated %s after the cut", time.Since(cut).Round(time.Millisecond))
		if err := expect.IsReady(expect.Get(t, w.Fleet, app), w.Members...); err == nil {
			t.Error("the app is Ready although a member has not answered")
		}
		expect.That(t, w.Fleet, w.Notice[lost], app, "is Unknown on "+lost, func(a *v1.MyApp) error {
			row := expect.Row(a, lost)
			if row.State != v1.PlacementUnknown || row.LastReportTime == nil {
				return fmt.Errorf("the row is %+v", row)
			}
			if row.CurrentReplicas != 1 || a.Status.Summary.Unknown != 1 || a.Status.Summary.UnknownReplicas != 1 {
				return fmt.Errorf("the last report is not kept or not counted as unknown: %+v %+v", row, a.Status.Summary)
			}
			return expect.Condition(a, v1.ConditionReady, "Unknown", v1.ReasonMemberUnknown)
		})
		t.Logf("the silence was noticed %s after the cut", time.Since(cut).Round(time.Millisecond))

		heal()
		healed := time.Now()
		expect.Ready(t, w.Fleet, w.Soon, app, w.Members...)
		t.Logf("the member had caught up %s after it was back", time.Since(healed).Round(time.Millisecond))
		if err := w.Runs(t, lost, app, w.Images.Second); err != nil {
			t.Error(err)
		}
		w.Remove(t, app)
	})
}
