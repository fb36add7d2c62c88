package aggregate

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	v1 "github.com/example/myapp-hub/api/v1"
)

func TestSummarize(t *testing.T) {
	full := func(r *v1.PlacementRow) { r.Updated, r.ReadyReplicas, r.CurrentReplicas = true, 2, 2 }
	for _, tt := range []struct {
		name, reason string
		row          v1.PlacementRow
		want         v1.Summary
	}{
		{"ready", "all counts", row(v1.PlacementReady, full), v1.Summary{Clusters: 1, Ready: 1, Updated: 1, TotalReplicas: 2, ReadyReplicas: 2}},
		{"progressing", "ready pods count although the member is not", row(v1.PlacementProgressing, func(r *v1.PlacementRow) { r.ReadyReplicas = 1 }), v1.Summary{Clusters: 1, TotalReplicas: 2, ReadyReplicas: 1}},
		{"failed", "it may have the revision all the same", row(v1.PlacementFailed, func(r *v1.PlacementRow) { r.Updated = true }), v1.Summary{Clusters: 1, Updated: 1, TotalReplicas: 2}},
		{"old revision", "ready with what is no longer wanted is not ready", row(v1.PlacementReady, full, func(r *v1.PlacementRow) { r.Revision = "web-0" }), v1.Summary{Clusters: 1, TotalReplicas: 2, ReadyReplicas: 2}},
		{"old replicas", "so is ready at another size", row(v1.PlacementReady, full, func(r *v1.PlacementRow) { r.Replicas = 1 }), v1.Summary{Clusters: 1, TotalReplicas: 1, ReadyReplicas: 2}},
		{"pending", "wanted, nothing there", row(v1.PlacementPending), v1.Summary{Clusters: 1, TotalReplicas: 2}},
		{"unknown", "what it last said is kept, not counted (law 5)", row(v1.PlacementUnknown, full), v1.Summary{Clusters: 1, Unknown: 1, TotalReplicas: 2, UnknownReplicas: 2}},
		{"removing", "nothing is wanted of it", row(v1.PlacementRemoving, full), v1.Summary{Clusters: 1}},
		{"stray", "nor of this", row(v1.PlacementStray, full), v1.Summary{Clusters: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, survey(&Input{Rows: []v1.PlacementRow{tt.row}, Revision: "web-1", Replicas: map[string]int32{"m": 2}}).summary); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}

func TestScaleReplicas(t *testing.T) {
	has := func(cluster string, wanted, is int32, state v1.PlacementState) v1.PlacementRow {
		return row(state, func(r *v1.PlacementRow) { r.Cluster, r.Replicas, r.CurrentReplicas = cluster, wanted, is })
	}
	for _, tt := range []struct {
		reason     string
		rows       []v1.PlacementRow
		autoscaled bool
		want       int32
	}{
		{"no member has any", nil, false, 0},
		{"what every member has at least", []v1.PlacementRow{has("a", 3, 3, v1.PlacementReady), has("b", 3, 2, v1.PlacementProgressing), has("c", 3, 5, v1.PlacementReady)}, false, 2},
		{"a member that loses the app does not count", []v1.PlacementRow{has("a", 3, 3, v1.PlacementReady), has("b", 3, 1, v1.PlacementRemoving), has("c", 3, 0, v1.PlacementStray)}, false, 3},
		{"nor does one with a number of its own: scaling the app does not change it", []v1.PlacementRow{has("a", 3, 3, v1.PlacementReady), has("own", 1, 1, v1.PlacementReady)}, false, 3},
		{"with nothing but such members there is nothing to scale", []v1.PlacementRow{has("own", 1, 1, v1.PlacementReady)}, false, 0},
		{"a row that is not scaled yet counts by what is wanted of it", []v1.PlacementRow{has("a", 2, 2, v1.PlacementReady)}, false, 2},
		{"a member that is gone counts by its row", []v1.PlacementRow{has("gone", 3, 1, v1.PlacementUnknown), has("gone-too", 1, 0, v1.PlacementUnknown)}, false, 1},
		{"autoscalers choose the number everywhere", []v1.PlacementRow{has("a", 3, 7, v1.PlacementReady), has("own", 1, 4, v1.PlacementReady)}, true, 4},
	} {
		in := Input{Rows: tt.rows, Replicas: map[string]int32{"a": 3, "b": 3, "c": 3, "own": 1}, SpecReplicas: 3, Autoscaled: tt.autoscaled}
		if got := Status(in, noon).Replicas; got != tt.want {
			t.Errorf("%s: %d, want %d", tt.reason, got, tt.want)
		}
	}
}

// TestOwnReplicas: each row is compared with what its own member is to run.
func TestOwnReplicas(t *testing.T) {
	on := func(cluster string, n int32) v1.PlacementRow {
		return row(v1.PlacementReady, func(r *v1.PlacementRow) { r.Cluster, r.Replicas, r.Updated = cluster, n, true })
	}
	in := Input{Revision: "web-1", Replicas: map[string]int32{"a": 3, "own": 1}, SpecReplicas: 3}
	for _, tt := range []struct {
		reason string
		row    v1.PlacementRow
		want   bool
	}{
		{"it has what all have", on("a", 3), true},
		{"it has what an override says", on("own", 1), true},
		{"the override is not there yet", on("own", 3), false},
		{"scaled, not told yet", on("a", 2), false},
		{"whether an override chooses a member that is gone is not known", on("gone", 5), true},
	} {
		if got := in.current(&tt.row); got != tt.want {
			t.Errorf("%s: current = %v", tt.reason, got)
		}
	}
}

func TestSettled(t *testing.T) {
	for state, want := range map[v1.PlacementState]bool{
		v1.PlacementPending: false, v1.PlacementProgressing: false, v1.PlacementRemoving: false,
		v1.PlacementReady: true, v1.PlacementFailed: true, v1.PlacementUnknown: true, v1.PlacementStray: true,
	} {
		if got := Settled([]v1.PlacementRow{row(v1.PlacementReady), row(state)}); got != want {
			t.Errorf("with a %s row Settled = %v", state, got)
		}
	}
}

func TestTransitionTimes(t *testing.T) {
	pending := Input{Rows: []v1.PlacementRow{row(v1.PlacementPending)}, PlacementReason: v1.ReasonPlaced, Revision: "web-1", Replicas: map[string]int32{"m": 2}}
	pending.Rows[0].Reason = v1.ReasonPending
	old := Status(pending, before)
	next := pending
	next.Old = old
	next.Rows = []v1.PlacementRow{row(v1.PlacementReady, func(r *v1.PlacementRow) { r.Updated, r.ReadyReplicas = true, 2 })}
	got := map[string]bool{}
	for _, c := range Status(next, noon).Conditions {
		got[c.Type] = c.LastTransitionTime.Equal(&noon)
	}
	want := map[string]bool{v1.ConditionScheduled: false, v1.ConditionApplied: true, v1.ConditionAvailable: true, v1.ConditionProgressing: true, v1.ConditionHeld: false, v1.ConditionStalled: false, v1.ConditionReady: true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("which conditions moved (-want +got):\n%s", diff)
	}
	if !old.Conditions[1].LastTransitionTime.Equal(&before) {
		t.Error("the persisted status is the cache's own object and was changed")
	}
}
