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

// TestConditions has the statuses in the order of v1.AppConditions: Scheduled,
// Applied, Available, Progressing, Held, Stalled, Ready. T, F or U.
func TestConditions(t *testing.T) {
	good := row(v1.PlacementReady, func(r *v1.PlacementRow) { r.Updated, r.ReadyReplicas = true, 2 })
	old := row(v1.PlacementReady, func(r *v1.PlacementRow) { r.Updated, r.ReadyReplicas, r.Revision = true, 2, "web-0" })
	says := func(state v1.PlacementState, reason string) v1.PlacementRow {
		return row(state, func(r *v1.PlacementRow) {
			r.Cluster, r.ReadyReplicas, r.Reason, r.Message = "n", 2, reason, "the member says why"
		})
	}
	failed := func(reason string) v1.PlacementRow { return says(v1.PlacementFailed, reason) }
	pending := row(v1.PlacementPending, func(r *v1.PlacementRow) { r.Reason = v1.ReasonPending })
	unknown := row(v1.PlacementUnknown, func(r *v1.PlacementRow) { r.Updated = true })
	removing := row(v1.PlacementRemoving, func(r *v1.PlacementRow) { r.Message = "finalizers" })
	newer := row(v1.PlacementRemoving, func(r *v1.PlacementRow) { r.Reason, r.Message = v1.ReasonHubRestored, "generation 7" })
	hold := &Hold{Reason: v1.ReasonHubRestored, Message: "the hub is older; annotate it"}

	for _, tt := range []struct {
		name, reason string
		in           Input
		want         string
		ready        string // reason of Ready
		says         string // in the message of Ready
	}{
		{"ready", "all is well", Input{Rows: []v1.PlacementRow{good, good}}, "TTTFFFT", v1.ReasonAllReady, "ready on 2 of 2 members"},
		{"leaving one", "losing a member makes no other less ready", Input{Rows: []v1.PlacementRow{good, removing}}, "TTTTFFT", v1.ReasonAllReady, "1 of 1 members"},
		{"stray", "nothing is wanted of a stray", Input{Rows: []v1.PlacementRow{good, row(v1.PlacementStray)}}, "TTTFFFT", v1.ReasonAllReady, ""},
		{"pending", "one is not there yet", Input{Rows: []v1.PlacementRow{good, pending}}, "TFFTFFF", v1.ReasonPending, "1 of 2: m"},
		{"unknown", "silence is neither ready nor not", Input{Rows: []v1.PlacementRow{good, unknown}}, "TTUFFFU", v1.ReasonMemberUnknown, "no answer from 1 of 2: m"},
		{"unknown and pending", "what is known to be missing counts more than silence", Input{Rows: []v1.PlacementRow{unknown, pending}}, "TFFTFFF", v1.ReasonPending, ""},
		{"failed pods", "a retry or a fix may mend it: no stall", Input{Rows: []v1.PlacementRow{good, failed(v1.ReasonDeploymentFailed)}}, "TFTFFFF", v1.ReasonMemberFailed, "failed on 1 of 2: n; n: the member says why"},
		{"refused", "only a person can help", Input{Rows: []v1.PlacementRow{good, failed(v1.ReasonForbidden)}}, "TFTFFTF", v1.ReasonMemberFailed, "the member says why"},
		{"the namespace is missing", "only a person can help", Input{Rows: []v1.PlacementRow{failed(v1.ReasonNamespaceMissing)}}, "TFTFFTF", v1.ReasonNamespaceMissing, ""},
		{"another app of that name", "only a person can help", Input{Rows: []v1.PlacementRow{failed(v1.ReasonNameConflict)}}, "TFTFFTF", v1.ReasonNameConflict, ""},
		{"not owned", "only a person can help", Input{Rows: []v1.PlacementRow{failed(v1.ReasonNotOwned)}}, "TFTFFTF", v1.ReasonMemberFailed, ""},
		{"rejected", "only a person can help", Input{Rows: []v1.PlacementRow{failed(v1.ReasonRejected)}}, "TFTFFTF", v1.ReasonMemberFailed, ""},
		{"kind missing", "the reason of the row says more than that it failed", Input{Rows: []v1.PlacementRow{failed(v1.ReasonKindMissing)}}, "TFTFFTF", v1.ReasonKindMissing, ""},
		{"not permitted", "so here", Input{Rows: []v1.PlacementRow{failed(v1.ReasonNotPermitted)}}, "TFTFFTF", v1.ReasonNotPermitted, ""},
		{"another hub", "a person knows whether that one is gone", Input{Rows: []v1.PlacementRow{failed(v1.ReasonHubReplaced)}}, "TFTFTTF", v1.ReasonHubReplaced, "another state of the hub has written what is on 1 of 1: n; n: the member says why"},
		{"no Secret", "it is waited for, but somebody has to make it", Input{Rows: []v1.PlacementRow{good, says(v1.PlacementProgressing, v1.ReasonSecretMissing)}}, "TFTFFTF", v1.ReasonSecretMissing, "not as wanted on 1 of 2: n; n: the member says why"},
		{"render error", "the member has not even been asked", Input{Rows: []v1.PlacementRow{says(v1.PlacementProgressing, v1.ReasonRenderError)}}, "TFTFFTF", v1.ReasonRenderError, ""},
		{"drift reported", "the policy leaves it so: not ready, and nobody has to do anything", Input{Rows: []v1.PlacementRow{good, says(v1.PlacementReady, v1.ReasonDrifted)}}, "TFTFFFF", v1.ReasonDrifted, "not as wanted on 1 of 2: n; n: the member says why"},
		{"drift contested", "two fight over it: a person must look", Input{Rows: []v1.PlacementRow{good, says(v1.PlacementReady, v1.ReasonContested)}}, "TFTFFTF", v1.ReasonContested, "n: the member says why"},
		{"field conflict", "somebody else owns a field", Input{Rows: []v1.PlacementRow{says(v1.PlacementProgressing, v1.ReasonConflict)}}, "TFTFFTF", v1.ReasonConflict, "n: the member says why"},
		{"several troubles", "what needs a person speaks first", Input{Rows: []v1.PlacementRow{says(v1.PlacementReady, v1.ReasonDrifted), failed(v1.ReasonDeploymentFailed), failed(v1.ReasonKindMissing)}}, "TFTFFTF", v1.ReasonKindMissing, "failed on 3 of 3: n, n, n"},
		{"drift and update", "an update elsewhere goes on", Input{Rows: []v1.PlacementRow{says(v1.PlacementReady, v1.ReasonDrifted), pending}}, "TFFTFFF", v1.ReasonDrifted, ""},
		{"nowhere", "an app that runs nowhere is not ready", Input{PlacementReason: v1.ReasonNoMatch, PlacementMessage: "0 of 3"}, "FFFFFFF", v1.ReasonNoMatch, "0 of 3"},
		{"only leaving", "the last member is losing it", Input{Rows: []v1.PlacementRow{removing}, PlacementReason: v1.ReasonNoMatch, PlacementMessage: "0 of 3"}, "FFFTFFF", v1.ReasonNoMatch, "0 of 3"},
		{"selector invalid", "the user's mistake stalls it, and what is stalled is not ready", Input{Rows: []v1.PlacementRow{good}, PlacementReason: v1.ReasonSelectorInvalid, PlacementMessage: "bad"}, "FTTFFTF", v1.ReasonSelectorInvalid, "bad"},
		{"spec invalid", "members keep what they have; nobody runs what the spec says", Input{Rows: []v1.PlacementRow{good}, Invalid: "spec.podTemplate: bad"}, "TFTFFTF", v1.ReasonSpecInvalid, "spec.podTemplate: bad"},
		{"spec invalid, nowhere", "nothing is started", Input{Invalid: "bad", PlacementReason: v1.ReasonSpecInvalid, PlacementMessage: "bad"}, "FFFFFTF", v1.ReasonSpecInvalid, "bad"},
		{"spec invalid, deleting", "it goes all the same", Input{Rows: []v1.PlacementRow{removing}, Invalid: "bad", Deleting: true, PlacementReason: v1.ReasonDeleting}, "FFFTFFF", v1.ReasonDeleting, "waiting for m"},
		{"paused", "nothing is being done", Input{Rows: []v1.PlacementRow{pending}, Paused: true}, "TFFFFFF", v1.ReasonPending, ""},
		{"paused and edited", "no member runs the spec that is shown", Input{Rows: []v1.PlacementRow{old}, Paused: true}, "TFTFFFF", v1.ReasonPaused, "missing on 1 of 1: m"},
		{"deleting", "it waits for the member", Input{Rows: []v1.PlacementRow{removing}, Deleting: true, PlacementReason: v1.ReasonDeleting, PlacementMessage: "deleted"}, "FFFTFFF", v1.ReasonDeleting, "waiting for m to confirm that nothing is left; m: finalizers"},
		{"held", "a hub that is older changes nothing, however well members are", Input{Rows: []v1.PlacementRow{good}, Held: hold}, "TTTFTFF", v1.ReasonHubRestored, hold.Message},
		{"held, silent", "what is known to be held counts more than silence", Input{Rows: []v1.PlacementRow{unknown}, Held: hold}, "TTUFTFF", v1.ReasonHubRestored, hold.Message},
		{"held, deleting", "not even a deletion goes on", Input{Rows: []v1.PlacementRow{removing}, Deleting: true, Held: hold}, "FFFFTFF", v1.ReasonHubRestored, hold.Message},
		{"one member is newer", "its refusal holds the app", Input{Rows: []v1.PlacementRow{good, failed(v1.ReasonHubRestored)}}, "TFTFTFF", v1.ReasonHubRestored, "another state of the hub has written what is on 1 of 2: n; n: the member says why"},
		{"newer, and losing the app", "it refuses to lose it", Input{Rows: []v1.PlacementRow{newer}, Deleting: true}, "FFFFTFF", v1.ReasonHubRestored, "1 of 1: m; m: generation 7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.in.PlacementReason == "" {
				tt.in.PlacementReason, tt.in.PlacementMessage = v1.ReasonPlaced, "chosen"
			}
			tt.in.Generation, tt.in.Revision, tt.in.Replicas = 3, "web-1", map[string]int32{"m": 2, "n": 2}
			if tt.in.Invalid != "" {
				tt.in.Revision = ""
			}
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

// TestAppliedSaysWhy: what a row says of itself is the reason of Applied.
func TestAppliedSaysWhy(t *testing.T) {
	for row, want := range map[string]string{
		v1.ReasonDrifted: v1.ReasonDrifted, v1.ReasonContested: v1.ReasonContested, v1.ReasonConflict: v1.ReasonConflict,
		v1.ReasonHubRestored: v1.ReasonHubRestored, v1.ReasonPodsNotReady: v1.ReasonUpdating,
	} {
		rows := []v1.PlacementRow{{Cluster: "a", State: v1.PlacementPending}, {Cluster: "b", State: v1.PlacementProgressing, Reason: row, Message: "Service shop/web"}}
		c := meta.FindStatusCondition(Status(Input{Rows: rows, PlacementReason: v1.ReasonPlaced}, noon).Conditions, v1.ConditionApplied)
		if c.Status != metav1.ConditionFalse || c.Reason != want || !strings.Contains(c.Message, "b") {
			t.Errorf("a row with the reason %s makes Applied %s %s %q, want %s and the member's name", row, c.Status, c.Reason, c.Message, want)
		}
		if telling := strings.Contains(c.Message, "1 of 2: b; b: Service shop/web"); telling == (want == v1.ReasonUpdating) {
			t.Errorf("%s: the message is %q", row, c.Message)
		}
	}
}

// TestDeletionAdvice: whoever waits for a deletion learns how to stop waiting, and
// what that costs, however much the members have to say.
func TestDeletionAdvice(t *testing.T) {
	leaving := func(n int, message string) (rows []v1.PlacementRow) {
		for i := range n {
			rows = append(rows, row(v1.PlacementRemoving, func(r *v1.PlacementRow) {
				r.Cluster, r.Message = string(rune('a'+i))+strings.Repeat("x", 55), message
			}))
		}
		return rows
	}
	short := row(v1.PlacementRemoving, func(r *v1.PlacementRow) { r.Cluster, r.Message = "eu-1", "no answer." })
	for _, tt := range []struct {
		reason string
		rows   []v1.PlacementRow
		want   []string
	}{
		{"one member", []v1.PlacementRow{short}, []string{
			"waiting for eu-1 to confirm that nothing is left; eu-1: no answer; to stop waiting and leave what is there (only an agent that comes back would still remove it): kubectl annotate myapp web -n shop --overwrite example.com/force-remove=eu-1"}},
		{"a long message", leaving(2, strings.Repeat("ä", 1024)), []string{"waiting for ax", "ä…; to stop waiting", "force-remove=ax", ",bx"}},
		{"many members", leaving(20, "no answer"), []string{"and 17 more", "force-remove=ax", ",jx", ",..."}},
		{"nobody", nil, []string{"the app has left every member"}},
	} {
		c := meta.FindStatusCondition(Status(Input{Namespace: "shop", Name: "web", Rows: tt.rows, Deleting: true}, noon).Conditions, v1.ConditionProgressing)
		for _, want := range tt.want {
			if !strings.Contains(c.Message, want) {
				t.Errorf("%s: %q is not in %q", tt.reason, want, c.Message)
			}
		}
		if n := len([]rune(c.Message)); n > longestMessage {
			t.Errorf("%s: the message has %d characters", tt.reason, n)
		}
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

func TestNamesAreCut(t *testing.T) {
	rows := func(names ...string) *group {
		g := &group{}
		for _, n := range names {
			g.add(&v1.PlacementRow{Cluster: n})
		}
		return g
	}
	for _, tt := range []struct {
		rows  *group
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
			rows = observed(rows, rows, reports, map[string]Member{"m": {Exists: true, Ready: true}}, noon)
			for _, c := range Status(Input{Rows: rows, PlacementReason: v1.ReasonPlaced}, noon).Conditions {
				if len(c.Reason) > 1024 || !admitted.MatchString(c.Reason) || len(c.Message) > 32768 ||
					!slices.Contains([]metav1.ConditionStatus{"True", "False", "Unknown"}, c.Status) {
					t.Errorf("report %s %.20q makes the condition %s %s %.30q", state, reason, c.Type, c.Status, c.Reason)
				}
			}
		}
	}
}
