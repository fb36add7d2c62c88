package aggregate

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/example/myapp-hub/api/v1"
)

var (
	before = metav1.NewTime(time.Date(2026, 5, 4, 11, 0, 0, 0, time.UTC))
	noon   = metav1.NewTime(time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC))
)

// row is a row of member m whose state began before noon.
func row(state v1.PlacementState, change ...func(*v1.PlacementRow)) v1.PlacementRow {
	r := v1.PlacementRow{Cluster: "m", State: state, Decision: 4, Revision: "web-1", Replicas: 2, LastTransitionTime: before}
	for _, c := range change {
		c(&r)
	}
	return r
}

// observed are the rows of an observation in which nothing is special.
func observed(persisted, next []v1.PlacementRow, reports map[string]Report, members map[string]Member, now metav1.Time) []v1.PlacementRow {
	rows, _ := Rows(Observation{Persisted: persisted, Next: next, Reports: reports, Members: members}, now)
	return rows
}

func report(decision int64, f v1.Feedback) *Report { return &Report{Decision: decision, Feedback: f} }

func TestObservedPart(t *testing.T) {
	answers := Member{Exists: true, Ready: true}
	silent := Member{Exists: true, LastHeard: &before, Message: "no route to m"}
	updated := func(r *v1.PlacementRow) {
		r.Updated, r.AppliedHash, r.CurrentReplicas, r.ReadyReplicas = true, "h", 2, 2
	}
	because := func(reason, message string) func(*v1.PlacementRow) {
		return func(r *v1.PlacementRow) { r.Reason, r.Message = reason, message }
	}
	moved := func(r *v1.PlacementRow) { r.LastTransitionTime = noon }
	heard := func(at metav1.Time) func(*v1.PlacementRow) {
		return func(r *v1.PlacementRow) { r.LastReportTime = &at }
	}
	readyNow := v1.Feedback{State: v1.FeedbackReady, AppliedHash: "h", Replicas: 2, ReadyReplicas: 2}
	gone := because(v1.ReasonMemberGone, "MemberCluster m does not exist: create it again to go on; until then what runs on the cluster is left alone")

	for _, tt := range []struct {
		name, reason string
		row          v1.PlacementRow
		report       *Report
		member       Member
		want         v1.PlacementRow
	}{
		{"no report", "a row waits for the member to speak", row(v1.PlacementPending), nil, answers, row(v1.PlacementPending)},
		{"ready", "the member confirms", row(v1.PlacementPending), report(4, readyNow), answers, row(v1.PlacementReady, updated, moved)},
		{"still ready", "times change on transitions only", row(v1.PlacementReady, updated), report(4, readyNow), answers, row(v1.PlacementReady, updated)},
		{"old decision", "what a member says of an older decision says nothing of this one", row(v1.PlacementPending), report(3, readyNow), answers, row(v1.PlacementPending)},
		{"progressing", "its pods start; the content of before is kept in mind", row(v1.PlacementReady, updated),
			report(4, v1.Feedback{State: v1.FeedbackProgressing, Replicas: 2, ReadyReplicas: 1, Reason: v1.ReasonPodsNotReady, Message: "1 of 2"}), answers,
			row(v1.PlacementProgressing, updated, moved, because(v1.ReasonPodsNotReady, "1 of 2"), func(r *v1.PlacementRow) { r.Updated, r.ReadyReplicas = false, 1 })},
		{"scaled by hand", "ready is what was decided, not what somebody made of it", row(v1.PlacementReady, updated), report(4, v1.Feedback{State: v1.FeedbackReady, AppliedHash: "h", Replicas: 1, ReadyReplicas: 1}), answers,
			row(v1.PlacementProgressing, updated, moved, because(v1.ReasonPodsNotReady, "1 of 2 pods are ready, and the Deployment on m asks for no more: somebody scaled it there. Scale it back there, or change the MyApp"), func(r *v1.PlacementRow) { r.CurrentReplicas, r.ReadyReplicas = 1, 1 })},
		{"failed", "the member refuses", row(v1.PlacementPending), report(4, v1.Feedback{State: v1.FeedbackFailed, Reason: v1.ReasonForbidden, Message: "no"}), answers,
			row(v1.PlacementFailed, moved, because(v1.ReasonForbidden, "no"))},
		{"removed, but wanted", "it has not what it should have", row(v1.PlacementReady, updated), report(4, v1.Feedback{State: v1.FeedbackRemoved, Reason: v1.ReasonRemoved}), answers,
			row(v1.PlacementProgressing, moved, because(v1.ReasonRemoved, ""), func(r *v1.PlacementRow) { r.AppliedHash = "h" })},
		{"falls silent", "the last report stays, with its time", row(v1.PlacementReady, updated), report(4, readyNow), silent,
			row(v1.PlacementUnknown, updated, moved, because(v1.ReasonMemberUnknown, "no route to m"), heard(before))},
		{"never heard of", "then the silence begins now", row(v1.PlacementReady, updated), nil, Member{Exists: true},
			row(v1.PlacementUnknown, updated, moved, because(v1.ReasonMemberUnknown, "m does not answer"), heard(noon))},
		{"stays silent", "nothing moves, not even the time", row(v1.PlacementUnknown, updated, heard(before)), nil, Member{Exists: true, Message: "no route to m"},
			row(v1.PlacementUnknown, updated, because(v1.ReasonMemberUnknown, "no route to m"), heard(before))},
		{"MemberCluster deleted", "what runs there runs on", row(v1.PlacementReady, updated), report(4, readyNow), Member{},
			row(v1.PlacementUnknown, updated, moved, gone, heard(noon))},
		{"is back, has not spoken", "it is unknown until it has reported", row(v1.PlacementUnknown, updated, heard(before)), nil, answers,
			row(v1.PlacementUnknown, updated, heard(before))},
		{"is back", "the report counts again", row(v1.PlacementUnknown, heard(before)), report(4, readyNow), answers, row(v1.PlacementReady, updated, moved)},
		{"removing", "it is not done", row(v1.PlacementRemoving), report(4, v1.Feedback{State: v1.FeedbackRemoving, Message: "finalizers"}), answers,
			row(v1.PlacementRemoving, because("", "finalizers"))},
		{"removing, silent", "the row waits and says for whom", row(v1.PlacementRemoving), nil, silent,
			row(v1.PlacementRemoving, because("", "the removal is not confirmed: no route to m"))},
		{"stray, silent", "nothing was decided about it: it does not become a row that is wanted", row(v1.PlacementStray), nil, silent, row(v1.PlacementStray)},
		{"stray, confirmed", "it is still there", row(v1.PlacementStray), &Report{Decision: 4, Stray: true}, answers, row(v1.PlacementStray)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reports := map[string]Report{}
			if tt.report != nil {
				reports["m"] = *tt.report
			}
			members := map[string]Member{}
			if tt.member.Exists {
				members["m"] = tt.member
			}
			rows := []v1.PlacementRow{tt.row}
			got := observed(rows, rows, reports, members, noon)
			if diff := cmp.Diff([]v1.PlacementRow{tt.want}, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}

// TestDropped: the only ways for a row to go.
// A hub that starts hears from every member what its rows say already. That must not
// be taken for a change, nor a change for that.
func TestNewsOf(t *testing.T) {
	readyNow := v1.Feedback{State: v1.FeedbackReady, AppliedHash: "h", Replicas: 2, ReadyReplicas: 2}
	starting := v1.Feedback{State: v1.FeedbackProgressing, AppliedHash: "h", Replicas: 2, ReadyReplicas: 1}
	as := func(f v1.Feedback) func(*v1.PlacementRow) {
		return func(r *v1.PlacementRow) {
			r.Updated, r.AppliedHash, r.CurrentReplicas, r.ReadyReplicas = true, f.AppliedHash, f.Replicas, f.ReadyReplicas
		}
	}
	ready, progressing, unknown := row(v1.PlacementReady, as(readyNow)), row(v1.PlacementProgressing, as(starting)), row(v1.PlacementUnknown, as(readyNow))
	removing := row(v1.PlacementRemoving, as(readyNow))
	for _, tt := range []struct {
		reason string
		report *Report
		before *Report
		row    *v1.PlacementRow
		want   News
	}{
		{"the first word after a start, and the row says it", report(4, readyNow), nil, &ready, Repeated},
		{"the same of an app that is not ready", report(4, starting), nil, &progressing, Repeated},
		{"about another decision", report(3, readyNow), nil, &ready, BecameReady},
		{"it was not ready when the hub ended", report(4, readyNow), nil, &progressing, BecameReady},
		{"it was silent", report(4, readyNow), nil, &unknown, BecameReady},
		{"it is ready no more", report(4, starting), nil, &ready, Changed},
		{"the row may be behind what was said before", report(4, readyNow), report(4, starting), &ready, BecameReady},
		{"and so may it be of an app that is not ready", report(4, starting), report(4, readyNow), &progressing, Changed},
		{"the app leaves the member", report(4, starting), nil, &removing, Changed},
		{"there is no row", report(0, v1.Feedback{}), nil, nil, Changed},
	} {
		if got := NewsOf(*tt.report, tt.before, tt.row); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.reason, got, tt.want)
		}
	}
}

func TestDropped(t *testing.T) {
	removed := v1.Feedback{State: v1.FeedbackRemoved}
	persisted := func(r v1.PlacementRow) []v1.PlacementRow { return []v1.PlacementRow{r} }
	for _, tt := range []struct {
		name, reason string
		persisted    []v1.PlacementRow
		next         v1.PlacementRow
		report       *Report
		dropped      bool
	}{
		{"confirmed", "ordered, persisted and confirmed", persisted(row(v1.PlacementRemoving)), row(v1.PlacementRemoving), report(4, removed), true},
		{"not persisted", "the order itself is not recorded yet", persisted(row(v1.PlacementReady, func(r *v1.PlacementRow) { r.Decision = 3 })), row(v1.PlacementRemoving), report(4, removed), false},
		{"no row persisted", "nor is there any row", nil, row(v1.PlacementRemoving), report(4, removed), false},
		{"another order persisted", "the confirmation must be of this order", persisted(row(v1.PlacementRemoving, func(r *v1.PlacementRow) { r.Decision = 3 })), row(v1.PlacementRemoving), report(4, removed), false},
		{"confirmed another", "an earlier removal was confirmed, not this one", persisted(row(v1.PlacementRemoving)), row(v1.PlacementRemoving), report(3, removed), false},
		{"not done", "objects are left", persisted(row(v1.PlacementRemoving)), row(v1.PlacementRemoving), report(4, v1.Feedback{State: v1.FeedbackRemoving}), false},
		{"no word", "absence is no confirmation", persisted(row(v1.PlacementRemoving)), row(v1.PlacementRemoving), nil, false},
		{"wanted", "a row that is wanted never goes", persisted(row(v1.PlacementReady)), row(v1.PlacementReady), report(4, removed), false},
		{"stray gone", "nothing was decided about a stray; it is shown while it is there", persisted(row(v1.PlacementStray)), row(v1.PlacementStray), report(4, removed), true},
		{"stray silent", "absence is no confirmation", persisted(row(v1.PlacementStray)), row(v1.PlacementStray), nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reports := map[string]Report{}
			if tt.report != nil {
				reports["m"] = *tt.report
			}
			for _, m := range []map[string]Member{{"m": {Exists: true, Ready: true}}, {"m": {Exists: true}}, nil} {
				got := observed(tt.persisted, []v1.PlacementRow{tt.next}, reports, m, noon)
				if dropped := len(got) == 0; dropped != tt.dropped {
					t.Errorf("%s: with member %v the rows are %+v", tt.reason, m, got)
				}
			}
		})
	}
}

// TestForceRemoved: a person who says not to wait is obeyed once the removal is
// on record, and never while the hub holds.
func TestForceRemoved(t *testing.T) {
	ready := row(v1.PlacementReady, func(r *v1.PlacementRow) { r.Decision = 3 })
	for _, tt := range []struct {
		name, reason string
		persisted    *v1.PlacementRow
		next         *v1.PlacementRow
		report       *Report
		member       string
		held         bool
		rows         []string
		forced       []string
	}{
		{"named", "it is not waited for", ptr(row(v1.PlacementRemoving)), ptr(row(v1.PlacementRemoving)), nil, "m", false, nil, []string{"m"}},
		{"busy", "not even if it is at it", ptr(row(v1.PlacementRemoving)), ptr(row(v1.PlacementRemoving)), report(4, v1.Feedback{State: v1.FeedbackRemoving}), "m", false, nil, []string{"m"}},
		{"confirmed", "what was confirmed was not forced", ptr(row(v1.PlacementRemoving)), ptr(row(v1.PlacementRemoving)), report(4, v1.Feedback{State: v1.FeedbackRemoved}), "m", false, nil, nil},
		{"another named", "others are waited for", ptr(row(v1.PlacementRemoving)), ptr(row(v1.PlacementRemoving)), nil, "n", false, []string{"m Removing"}, nil},
		{"not on record", "the order comes first", ptr(ready), ptr(row(v1.PlacementRemoving)), nil, "m", false, []string{"m Removing"}, nil},
		{"wanted", "a row that is wanted never goes", ptr(ready), ptr(ready), nil, "m", false, []string{"m Unknown"}, nil},
		{"held", "a hub that is older lets nothing go", ptr(row(v1.PlacementRemoving)), ptr(row(v1.PlacementRemoving)), nil, "m", true, []string{"m Removing"}, nil},
		{"confirmed, held", "nor what was confirmed", ptr(row(v1.PlacementRemoving)), ptr(row(v1.PlacementRemoving)), report(4, v1.Feedback{State: v1.FeedbackRemoved}), "n", true, []string{"m Removing"}, nil},
		{"left behind", "what is left there does not come back as a stray", nil, nil, &Report{Stray: true}, "m", false, nil, nil},
		{"stray", "but others do", nil, nil, &Report{Stray: true}, "n", false, []string{"m Stray"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := Observation{Held: tt.held, ForceRemoved: map[string]bool{tt.member: true}}
			if tt.persisted != nil {
				o.Persisted, o.Next = []v1.PlacementRow{*tt.persisted}, []v1.PlacementRow{*tt.next}
			}
			if tt.report != nil {
				o.Reports = map[string]Report{"m": *tt.report}
			}
			rows, forced := Rows(o, noon)
			var got []string
			for _, r := range rows {
				got = append(got, r.Cluster+" "+string(r.State))
			}
			if !slices.Equal(got, tt.rows) || !slices.Equal(forced, tt.forced) {
				t.Errorf("%s: rows %v, want %v; forced %v, want %v", tt.reason, got, tt.rows, forced, tt.forced)
			}
		})
	}
}

func ptr(r v1.PlacementRow) *v1.PlacementRow { return &r }

// TestAutoscaledRows: the number of pods is the autoscaler's business.
func TestAutoscaledRows(t *testing.T) {
	rows := []v1.PlacementRow{row(v1.PlacementPending)}
	fewer := v1.Feedback{State: v1.FeedbackReady, AppliedHash: "h", Replicas: 1, ReadyReplicas: 1}
	for autoscaled, want := range map[bool]v1.PlacementState{true: v1.PlacementReady, false: v1.PlacementProgressing} {
		got, _ := Rows(Observation{
			Persisted: rows, Next: rows, Reports: map[string]Report{"m": *report(4, fewer)},
			Members: map[string]Member{"m": {Exists: true, Ready: true}}, Autoscaled: autoscaled,
		}, noon)
		if got[0].State != want || got[0].ReadyReplicas != 1 {
			t.Errorf("1 of 2 pods, and the Deployment wants no more; autoscaled %v: %+v, want %s", autoscaled, got[0], want)
		}
	}
}

// TestRefusedRemoval: a member that refuses to obey an older hub says so in the
// row, until it obeys.
func TestRefusedRemoval(t *testing.T) {
	leaving := row(v1.PlacementRemoving, func(r *v1.PlacementRow) { r.Reason, r.Message = v1.ReasonNotChosen, "labels" })
	pass := func(r v1.PlacementRow, f v1.Feedback) v1.PlacementRow {
		rows := []v1.PlacementRow{r}
		return observed(rows, rows, map[string]Report{"m": *report(4, f)}, map[string]Member{"m": {Exists: true, Ready: true}}, noon)[0]
	}
	refused := pass(leaving, v1.Feedback{State: v1.FeedbackRemoving, Reason: v1.ReasonHubRestored, Message: "generation 7"})
	if refused.Reason != v1.ReasonHubRestored || refused.Message != "generation 7" {
		t.Errorf("refused: %+v", refused)
	}
	stuck := "Service shop/web (being deleted since 2026-05-04T11:00:00Z; finalizers: example.org/hold)"
	busy := pass(refused, v1.Feedback{State: v1.FeedbackRemoving, Reason: v1.ReasonRemoving, Message: stuck})
	if busy.Reason != v1.ReasonRemoving || busy.Message != stuck {
		t.Errorf("it obeys after a release: %+v", busy)
	}
	if kept := pass(leaving, v1.Feedback{State: v1.FeedbackRemoving, Reason: v1.ReasonRemoving, Message: stuck}); kept.Reason != v1.ReasonNotChosen || kept.Message != stuck {
		t.Errorf("the row says why the app leaves, and what is in the way: %+v", kept)
	}
}

func TestStrayReports(t *testing.T) {
	reports := map[string]Report{"z": {Stray: true}, "a": {Stray: true}, "b": {}, "m": {Stray: true}}
	rows := []v1.PlacementRow{row(v1.PlacementReady)}
	members := map[string]Member{"m": {Exists: true, Ready: true}}
	got := observed(rows, rows, reports, members, noon)
	var names []string
	for _, r := range got {
		names = append(names, r.Cluster+" "+string(r.State))
	}
	if diff := cmp.Diff([]string{"a Stray", "m Ready", "z Stray"}, names); diff != "" {
		t.Errorf("strays become rows, ordered by name; a member with a row has none besides it (-want +got):\n%s", diff)
	}
	again := observed(got, got, reports, members, metav1.NewTime(noon.Add(time.Hour)))
	if diff := cmp.Diff(got, again); diff != "" {
		t.Errorf("a stray that stays changes nothing:\n%s", diff)
	}
}

// TestMessagesFitARow: the API server refuses the whole status for one message
// that is too long; a member's error can be of any length.
func TestMessagesFitARow(t *testing.T) {
	const most = 1024
	long := strings.Repeat("ä", 5000)
	for _, state := range []v1.PlacementState{v1.PlacementReady, v1.PlacementRemoving} {
		rows := []v1.PlacementRow{row(state)}
		got := observed(rows, rows, nil, map[string]Member{"m": {Exists: true, Message: long}}, noon)
		if n := len([]rune(got[0].Message)); n > most {
			t.Errorf("the message of a %s row has %d characters", state, n)
		}
	}
}

// TestMessagesFitAnObject: a thousand members with an error each must not make
// the status too large to be stored.
func TestMessagesFitAnObject(t *testing.T) {
	o := Observation{Reports: map[string]Report{}, Members: map[string]Member{}}
	for i := range 1000 {
		r := row(v1.PlacementPending, func(r *v1.PlacementRow) { r.Cluster = fmt.Sprintf("m-%03d", i) })
		o.Next = append(o.Next, r)
		o.Reports[r.Cluster] = *report(4, v1.Feedback{State: v1.FeedbackFailed, Reason: v1.ReasonRejected, Message: strings.Repeat("x", 1024)})
		o.Members[r.Cluster] = Member{Exists: true, Ready: true}
	}
	o.Persisted = o.Next
	rows, _ := Rows(o, noon)
	total := 0
	for _, r := range rows {
		total += len([]rune(r.Message))
	}
	if total > allMessages || len([]rune(rows[0].Message)) < shortestMessage {
		t.Errorf("all messages have %d characters, the first has %d", total, len(rows[0].Message))
	}
}
