package aggregate

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
			if diff := cmp.Diff(tt.want, summarize(Input{Rows: []v1.PlacementRow{tt.row}, Revision: "web-1", Replicas: 2})); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}

func TestScaleReplicas(t *testing.T) {
	has := func(n int32, state v1.PlacementState) v1.PlacementRow {
		return row(state, func(r *v1.PlacementRow) { r.CurrentReplicas = n })
	}
	for _, tt := range []struct {
		reason string
		rows   []v1.PlacementRow
		want   int32
	}{
		{"no member has any", nil, 0},
		{"what every member has at least", []v1.PlacementRow{has(3, v1.PlacementReady), has(2, v1.PlacementProgressing), has(5, v1.PlacementReady)}, 2},
		{"a member that loses the app does not count", []v1.PlacementRow{has(3, v1.PlacementReady), has(1, v1.PlacementRemoving), has(0, v1.PlacementStray)}, 3},
	} {
		if got := Status(Input{Rows: tt.rows}, noon).Replicas; got != tt.want {
			t.Errorf("%s: %d, want %d", tt.reason, got, tt.want)
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

// TestConditions has the statuses in the order Scheduled, Applied, Progressing,
// Ready, Stalled: T, F or U.
func TestConditions(t *testing.T) {
	good := row(v1.PlacementReady, func(r *v1.PlacementRow) { r.Updated = true })
	old := row(v1.PlacementReady, func(r *v1.PlacementRow) { r.Updated, r.Revision = true, "web-0" })
	failed := func(reason string) v1.PlacementRow {
		return row(v1.PlacementFailed, func(r *v1.PlacementRow) { r.Reason, r.Message = reason, "the member says no" })
	}
	pending := row(v1.PlacementPending, func(r *v1.PlacementRow) { r.Reason = v1.ReasonPending })
	unknown := row(v1.PlacementUnknown, func(r *v1.PlacementRow) { r.Updated = true })
	removing := row(v1.PlacementRemoving, func(r *v1.PlacementRow) { r.Message = "finalizers" })

	for _, tt := range []struct {
		name, reason string
		in           Input
		want         string
		ready        string // reason of Ready
		says         string // in the message of Ready
	}{
		{"ready", "all is well", Input{Rows: []v1.PlacementRow{good, good}}, "TTFTF", v1.ReasonAllReady, "ready on 2 of 2 members"},
		{"leaving one", "losing a member makes no other less ready", Input{Rows: []v1.PlacementRow{good, removing}}, "TTTTF", v1.ReasonAllReady, "1 of 1 members"},
		{"stray", "nothing is wanted of a stray", Input{Rows: []v1.PlacementRow{good, row(v1.PlacementStray)}}, "TTFTF", v1.ReasonAllReady, ""},
		{"pending", "one is not there yet", Input{Rows: []v1.PlacementRow{good, pending}}, "TFTFF", v1.ReasonPending, "1 of 2: m"},
		{"unknown", "silence is neither ready nor not", Input{Rows: []v1.PlacementRow{good, unknown}}, "TTFUF", v1.ReasonMemberUnknown, "no answer from 1 of 2: m"},
		{"unknown and pending", "what is known to be missing counts more than silence", Input{Rows: []v1.PlacementRow{unknown, pending}}, "TFTFF", v1.ReasonPending, ""},
		{"failed pods", "a retry or a fix may mend it: no stall", Input{Rows: []v1.PlacementRow{good, failed(v1.ReasonDeploymentFailed)}}, "TFFFF", v1.ReasonMemberFailed, "the member says no"},
		{"refused", "only a person can help", Input{Rows: []v1.PlacementRow{good, failed(v1.ReasonForbidden)}}, "TFFFT", v1.ReasonMemberFailed, "the member says no"},
		{"not owned", "only a person can help", Input{Rows: []v1.PlacementRow{failed(v1.ReasonNotOwned)}}, "TFFFT", v1.ReasonMemberFailed, ""},
		{"rejected", "only a person can help", Input{Rows: []v1.PlacementRow{failed(v1.ReasonRejected)}}, "TFFFT", v1.ReasonMemberFailed, ""},
		{"nowhere", "an app that runs nowhere is not ready", Input{PlacementReason: v1.ReasonNoMatch, PlacementMessage: "0 of 3"}, "FFFFF", v1.ReasonNoMatch, "0 of 3"},
		{"only leaving", "the last member is losing it", Input{Rows: []v1.PlacementRow{removing}, PlacementReason: v1.ReasonNoMatch, PlacementMessage: "0 of 3"}, "FFTFF", v1.ReasonNoMatch, "0 of 3"},
		{"selector invalid", "the user's mistake stalls it; what runs is ready", Input{Rows: []v1.PlacementRow{good}, PlacementReason: v1.ReasonSelectorInvalid, PlacementMessage: "bad"}, "FTFTT", v1.ReasonAllReady, ""},
		{"paused", "nothing is being done", Input{Rows: []v1.PlacementRow{pending}, Paused: true}, "TFFFF", v1.ReasonPending, ""},
		{"kept, edited", "nor here", Input{Rows: []v1.PlacementRow{old}, PlacementReason: v1.ReasonSelectorInvalid, PlacementMessage: "bad"}, "FFFFT", v1.ReasonUpdating, ""},
		{"paused and edited", "no member runs the spec that is shown", Input{Rows: []v1.PlacementRow{old}, Paused: true}, "TFFFF", v1.ReasonPaused, "missing on 1 of 1: m"},
		{"deleting", "it waits for the member", Input{Rows: []v1.PlacementRow{removing}, Deleting: true, PlacementReason: v1.ReasonDeleting, PlacementMessage: "deleted"}, "FFTFF", v1.ReasonDeleting, "waiting for m to confirm that nothing is left; m: finalizers"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.in.PlacementReason == "" {
				tt.in.PlacementReason, tt.in.PlacementMessage = v1.ReasonPlaced, "chosen"
			}
			tt.in.Generation, tt.in.Revision, tt.in.Replicas = 3, "web-1", 2
			conditions := Status(tt.in, noon).Conditions
			got := ""
			for _, c := range conditions {
				got += string(c.Status[0])
				if c.ObservedGeneration != 3 {
					t.Errorf("%s is about generation %d", c.Type, c.ObservedGeneration)
				}
			}
			if got != tt.want {
				t.Errorf("%s: %v are %s, want %s", tt.reason, v1.AppConditions(), got, tt.want)
			}
			ready := meta.FindStatusCondition(conditions, v1.ConditionReady)
			if ready.Reason != tt.ready || !strings.Contains(ready.Message, tt.says) {
				t.Errorf("%s: Ready says %s %q, want %s ...%q", tt.reason, ready.Reason, ready.Message, tt.ready, tt.says)
			}
		})
	}
}

func TestConditionSet(t *testing.T) {
	var types []string
	for _, c := range Status(Input{PlacementReason: v1.ReasonNoMembers}, noon).Conditions {
		types = append(types, c.Type)
	}
	if diff := cmp.Diff(v1.AppConditions(), types); diff != "" {
		t.Errorf("the status must have exactly v1.AppConditions() (-want +got):\n%s", diff)
	}
}

func TestTransitionTimes(t *testing.T) {
	pending := Input{Rows: []v1.PlacementRow{row(v1.PlacementPending)}, PlacementReason: v1.ReasonPlaced, Revision: "web-1", Replicas: 2}
	pending.Rows[0].Reason = v1.ReasonPending
	old := Status(pending, before)
	next := pending
	next.Old = old
	next.Rows = []v1.PlacementRow{row(v1.PlacementReady, func(r *v1.PlacementRow) { r.Updated = true })}
	got := map[string]bool{}
	for _, c := range Status(next, noon).Conditions {
		got[c.Type] = c.LastTransitionTime.Equal(&noon)
	}
	want := map[string]bool{v1.ConditionScheduled: false, v1.ConditionApplied: true, v1.ConditionProgressing: true, v1.ConditionReady: true, v1.ConditionStalled: false}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("which conditions moved (-want +got):\n%s", diff)
	}
	if !old.Conditions[1].LastTransitionTime.Equal(&before) {
		t.Error("the persisted status is the cache's own object and was changed")
	}
}

func TestNamesAreCut(t *testing.T) {
	rows := func(names ...string) (rows []v1.PlacementRow) {
		for _, n := range names {
			rows = append(rows, v1.PlacementRow{Cluster: n})
		}
		return rows
	}
	for _, tt := range []struct {
		rows  []v1.PlacementRow
		total int
		want  string
	}{
		{rows("a"), 4, "1 of 4: a"},
		{rows("a", "b", "c"), 4, "3 of 4: a, b, c"},
		{rows("a", "b", "c", "d", "e"), 40, "5 of 40: a, b, c and 2 more"},
		{rows("a", "b", "c", "d"), 0, "a, b, c and 1 more"},
	} {
		if got := names(tt.rows, tt.total); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
	if got := cut(strings.Repeat("é", 30), 10); got != strings.Repeat("é", 9)+"…" {
		t.Errorf("cut at a rune: %q", got)
	}
	if got := cut("é é", 3); got != "é é" {
		t.Errorf("what fits stays: %q", got)
	}
}

// TestConditionsAreAdmitted: whatever a member's agent writes into its report,
// the API server must accept the status, or one bad member would hide all others.
func TestConditionsAreAdmitted(t *testing.T) {
	admitted := regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$`)
	for _, reason := range []string{"", "two words", "1st", strings.Repeat("R", 2000), "Odd-", v1.ReasonPodsNotReady} {
		for _, state := range []v1.FeedbackState{v1.FeedbackProgressing, v1.FeedbackFailed, v1.FeedbackReady, v1.FeedbackRemoving, ""} {
			rows := []v1.PlacementRow{row(v1.PlacementPending)}
			reports := map[string]Report{"m": {Decision: 4, Feedback: v1.Feedback{State: state, Reason: reason, Message: strings.Repeat("x", 1024)}}}
			rows = Rows(rows, rows, reports, map[string]Member{"m": {Exists: true, Ready: true}}, noon)
			for _, c := range Status(Input{Rows: rows, PlacementReason: v1.ReasonPlaced}, noon).Conditions {
				if len(c.Reason) > 1024 || !admitted.MatchString(c.Reason) || len(c.Message) > 32768 ||
					!slices.Contains([]metav1.ConditionStatus{"True", "False", "Unknown"}, c.Status) {
					t.Errorf("report %s %.20q makes the condition %s %s %.30q", state, reason, c.Type, c.Status, c.Reason)
				}
			}
		}
	}
}
