package aggregate

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"pgregory.net/rapid"

	v1 "github.com/example/myapp-hub/api/v1"
)

var (
	states = []v1.PlacementState{
		v1.PlacementPending, v1.PlacementProgressing, v1.PlacementReady, v1.PlacementFailed,
		v1.PlacementUnknown, v1.PlacementRemoving, v1.PlacementStray,
	}
	reasons = []string{
		v1.ReasonPodsNotReady, v1.ReasonForbidden, v1.ReasonApplyError, v1.ReasonDrifted, v1.ReasonContested,
		v1.ReasonSecretMissing, v1.ReasonHubRestored, v1.ReasonHubReplaced, "", "", "",
	}
	names4 = []string{"a", "b", "c", "d"}
)

type world struct {
	persisted, next  []v1.PlacementRow
	reports          map[string]Report
	members          map[string]Member
	autoscaled, held bool
	forced           map[string]bool
}

func genRow(t *rapid.T, name string) v1.PlacementRow {
	row := v1.PlacementRow{
		Cluster: name, LastTransitionTime: before, Revision: "web-1",
		State:           rapid.SampledFrom(states).Draw(t, name+" state"),
		Decision:        rapid.Int64Range(1, 3).Draw(t, name+" decision"),
		Replicas:        rapid.Int32Range(0, 3).Draw(t, name+" replicas"),
		CurrentReplicas: rapid.Int32Range(0, 3).Draw(t, name+" current"),
		ReadyReplicas:   rapid.Int32Range(0, 3).Draw(t, name+" ready"),
		Updated:         rapid.Bool().Draw(t, name+" updated"),
		Reason:          rapid.SampledFrom(reasons).Draw(t, name+" reason"),
	}
	if row.State == v1.PlacementUnknown {
		row.LastReportTime = &before
	}
	return row
}

func genWorld(t *rapid.T) world {
	w := world{reports: map[string]Report{}, members: map[string]Member{}, forced: map[string]bool{}}
	w.autoscaled = rapid.Bool().Draw(t, "autoscaled")
	w.held = rapid.IntRange(0, 3).Draw(t, "held") == 0
	for _, name := range names4 {
		w.forced[name] = rapid.IntRange(0, 3).Draw(t, name+" forced") == 0
		current := int64(0)
		if rapid.Bool().Draw(t, name+" persisted") {
			w.persisted = append(w.persisted, genRow(t, name))
			row := w.persisted[len(w.persisted)-1]
			if rapid.Bool().Draw(t, name+" decided anew") {
				row.Decision++
				row.State = rapid.SampledFrom([]v1.PlacementState{v1.PlacementPending, v1.PlacementRemoving}).Draw(t, name+" next")
			}
			w.next = append(w.next, row)
			current = row.Decision
		}
		switch rapid.SampledFrom([]string{"nothing", "stray", "feedback"}).Draw(t, name+" reports") {
		case "stray":
			w.reports[name] = Report{Stray: true}
		case "feedback":
			w.reports[name] = Report{
				Decision: rapid.SampledFrom([]int64{current, current, current, current - 1}).Draw(t, name+" of decision"),
				Feedback: v1.Feedback{
					State: rapid.SampledFrom([]v1.FeedbackState{
						v1.FeedbackProgressing, v1.FeedbackReady, v1.FeedbackFailed, v1.FeedbackRemoving, v1.FeedbackRemoved, v1.FeedbackRemoved, "",
					}).Draw(t, name+" feedback"),
					AppliedHash:   rapid.SampledFrom([]string{"", "h"}).Draw(t, name+" hash"),
					ReadyReplicas: rapid.Int32Range(0, 3).Draw(t, name+" reports ready"),
					Reason:        rapid.SampledFrom(reasons).Draw(t, name+" says"),
				},
			}
		}
		if rapid.Bool().Draw(t, name+" exists") {
			w.members[name] = Member{Exists: true, Ready: rapid.Bool().Draw(t, name+" answers")}
		}
	}
	return w
}

func (w world) observation() Observation {
	return Observation{Persisted: w.persisted, Next: w.next, Reports: w.reports, Members: w.members, Autoscaled: w.autoscaled, Held: w.held, ForceRemoved: w.forced}
}

func (w world) rows(now metav1.Time) []v1.PlacementRow {
	rows, _ := Rows(w.observation(), now)
	return rows
}

func genInput(t *rapid.T) Input {
	w := genWorld(t)
	in := Input{
		Rows:      w.rows(noon),
		Namespace: "shop", Name: "web",
		Generation: rapid.Int64Range(1, 3).Draw(t, "generation"),
		Deleting:   rapid.Bool().Draw(t, "deleting"), Paused: rapid.Bool().Draw(t, "paused"),
		Revision:        "web-1",
		Replicas:        map[string]int32{},
		SpecReplicas:    rapid.Int32Range(0, 3).Draw(t, "spec.replicas"),
		Autoscaled:      w.autoscaled,
		PlacementReason: rapid.SampledFrom([]string{v1.ReasonPlaced, v1.ReasonNoMatch, v1.ReasonSelectorInvalid}).Draw(t, "placement"),
		Invalid:         rapid.SampledFrom([]string{"", "", "", "spec.image: bad"}).Draw(t, "invalid"),
	}
	for name := range w.members {
		in.Replicas[name] = rapid.SampledFrom([]int32{in.SpecReplicas, in.SpecReplicas, 3}).Draw(t, name+" wanted replicas")
	}
	// Often everything is as it should be, or Ready would hardly ever be True.
	if rapid.Bool().Draw(t, "as wanted") {
		for i := range in.Rows {
			in.Rows[i].Updated, in.Rows[i].Replicas = true, in.replicasOf(&in.Rows[i])
			if wanted(&in.Rows[i]) {
				in.Rows[i].State = v1.PlacementReady
			}
		}
	}
	if w.held {
		in.Held = &Hold{Reason: v1.ReasonHubRestored, Message: "the hub is older"}
	}
	return in
}

// TestRowsAreDroppedOnlyOnConfirmation is law 1: a row goes when its member has
// confirmed, or when a person has said not to wait, and never while the hub holds.
func TestRowsAreDroppedOnlyOnConfirmation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWorld(t)
		left := map[string]bool{}
		got, forced := Rows(w.observation(), noon)
		for _, row := range got {
			left[row.Cluster] = true
		}
		if !slices.IsSortedFunc(got, func(a, b v1.PlacementRow) int { return strings.Compare(a.Cluster, b.Cluster) }) {
			t.Fatalf("rows are not ordered: %+v", got)
		}
		for i, row := range w.next {
			stored := w.persisted[i] // next has the persisted rows, decided anew or not
			report, reported := w.reports[row.Cluster]
			confirmed := reported && report.State == v1.FeedbackRemoved && report.Decision == row.Decision
			ordered := stored.State == v1.PlacementRemoving && stored.Decision == row.Decision && row.State == v1.PlacementRemoving
			want := confirmed && (ordered || row.State == v1.PlacementStray) || ordered && w.forced[row.Cluster]
			if want = want && !w.held; left[row.Cluster] == want {
				t.Fatalf("row %+v, persisted %+v, report %+v: dropped = %v, want %v", row, stored, report, !left[row.Cluster], want)
			}
			if says := slices.Contains(forced, row.Cluster); says != (want && !confirmed) {
				t.Fatalf("row %+v, report %+v: said to be forced = %v", row, report, says)
			}
		}
	})
}

// TestSilenceIsNeverReady is law 5: no member that does not answer has a row
// that is Ready, and every row that is wanted of it is Unknown.
func TestSilenceIsNeverReady(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWorld(t)
		for _, row := range w.rows(noon) {
			if m := w.members[row.Cluster]; wanted(&row) && !m.Ready && row.State != v1.PlacementUnknown {
				t.Fatalf("%s does not answer and is %s", row.Cluster, row.State)
			}
			if row.State == v1.PlacementUnknown && !w.members[row.Cluster].Ready && row.LastReportTime == nil {
				t.Fatalf("%+v does not say when it was last heard of", row)
			}
		}
	})
}

// TestObservationDecidesNothing: Rows leaves the decision of every row alone.
func TestObservationDecidesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWorld(t)
		given := slices.Clone(w.next)
		next := map[string]v1.PlacementRow{}
		for _, row := range w.next {
			next[row.Cluster] = row
		}
		for _, row := range w.rows(noon) {
			was, ok := next[row.Cluster]
			if !ok {
				if row.State != v1.PlacementStray || !w.reports[row.Cluster].Stray {
					t.Fatalf("a row from nowhere: %+v", row)
				}
				continue
			}
			if row.Decision != was.Decision || row.Revision != was.Revision || row.Replicas != was.Replicas ||
				(row.State == v1.PlacementRemoving) != (was.State == v1.PlacementRemoving) ||
				(row.State == v1.PlacementStray) != (was.State == v1.PlacementStray) {
				t.Fatalf("decided %+v, observed %+v", was, row)
			}
		}
		if diff := cmp.Diff(given, w.next); diff != "" {
			t.Fatalf("the decided rows were changed:\n%s", diff)
		}
	})
}

func TestSummaryAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := genInput(t)
		s := survey(&in).summary
		count := map[v1.PlacementState]int32{}
		for _, row := range in.Rows {
			count[row.State]++
		}
		notReady := count[v1.PlacementPending] + count[v1.PlacementProgressing] + count[v1.PlacementFailed]
		leaving := count[v1.PlacementRemoving] + count[v1.PlacementStray]
		if count[v1.PlacementReady]+s.Unknown+notReady+leaving != s.Clusters || int(s.Clusters) != len(in.Rows) {
			t.Fatalf("%+v does not add up over %v", s, count)
		}
		if s.Ready > count[v1.PlacementReady] || s.Ready > s.Updated || s.Unknown != count[v1.PlacementUnknown] {
			t.Fatalf("%+v counts other than %v", s, count)
		}
		if s.Updated > s.Clusters-s.Unknown-leaving || s.UnknownReplicas > s.TotalReplicas {
			t.Fatalf("%+v counts what is unknown or leaving as updated", s)
		}
	})
}

// TestReadyIsTrueOnlyIfAllAre: Ready means that every wanted row is Ready, with
// what the spec says now, and nothing holds or stalls the app.
func TestReadyIsTrueOnlyIfAllAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := genInput(t)
		status := Status(in, noon)
		is := meta.IsStatusConditionTrue(status.Conditions, v1.ConditionReady)
		all, some := true, false
		for _, row := range in.Rows {
			if wanted(&row) {
				some = true
				all = all && row.State == v1.PlacementReady && in.current(&row) && row.Updated
			}
			if row.Reason == v1.ReasonHubRestored || row.Reason == v1.ReasonHubReplaced {
				all = false
			}
		}
		stopped := in.Deleting || in.Held != nil || in.Invalid != "" || in.PlacementReason == v1.ReasonSelectorInvalid
		if is != (all && some && !stopped) {
			t.Fatalf("Ready = %v over %+v, deleting = %v", is, in.Rows, in.Deleting)
		}
		if is && status.Summary.Unknown > 0 {
			t.Fatalf("ready with %d unknown", status.Summary.Unknown)
		}
	})
}

// TestNothingChangedNothingWritten is law 4: observing again what is persisted
// gives the persisted status, times included.
func TestNothingChangedNothingWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWorld(t)
		in := Input{Generation: 2, Revision: "web-1", Selector: "app=web", PlacementReason: v1.ReasonPlaced, PlacementMessage: "chosen"}
		in.Rows = w.rows(noon)
		in.Old = Status(in, noon)

		// A confirmed removal goes once its order is persisted; after that nothing moves.
		w.persisted, w.next = in.Old.Placements, in.Old.Placements
		in.Rows = w.rows(noon)
		in.Old = Status(in, noon)

		later := metav1.NewTime(noon.Add(time.Hour))
		persisted := *in.Old.DeepCopy()
		w.persisted, w.next = persisted.Placements, persisted.Placements
		in.Rows = w.rows(later)
		if diff := cmp.Diff(persisted, Status(in, later)); diff != "" {
			t.Fatalf("-persisted +again:\n%s", diff)
		}
		if diff := cmp.Diff(persisted, in.Old); diff != "" {
			t.Fatalf("the persisted status was changed:\n%s", diff)
		}
	})
}

// TestRepeatedChangesNothing: what is taken for a repetition would not change the row
// of a member that answers.
func TestRepeatedChangesNothing(t *testing.T) {
	repeated := 0
	checkUntil(t, func(t *rapid.T) {
		w := genWorld(t)
		w.autoscaled = false
		w.persisted = w.rows(noon) // what observing leaves, so that reports have a chance to agree
		w.next = w.persisted
		for i := range w.persisted {
			row := &w.persisted[i]
			report, ok := w.reports[row.Cluster]
			if !ok || NewsOf(report, nil, row) != Repeated {
				continue
			}
			repeated++
			w.members[row.Cluster] = Member{Exists: true, Ready: true}
			for _, after := range w.rows(metav1.NewTime(noon.Add(time.Hour))) {
				if after.Cluster == row.Cluster && after != *row {
					t.Fatalf("%+v was taken for a repetition of %+v, and makes it %+v", report, *row, after)
				}
			}
		}
	}, func() bool { return repeated > 0 })
	if repeated == 0 {
		t.Error("nothing was repeated")
	}
}

// checkUntil checks a property until what is rare among its inputs was there: now and then
// a hundred of them are without.
func checkUntil(t *testing.T, property func(*rapid.T), seen func() bool) {
	t.Helper()
	for range 20 {
		if rapid.Check(t, property); seen() {
			return
		}
	}
}

// TestKstatusAgrees: tools that wait for an app by kstatus see it as Current
// exactly when Ready is True, and as Failed exactly when Stalled is.
func TestKstatusAgrees(t *testing.T) {
	all := []status.Status{status.CurrentStatus, status.FailedStatus, status.InProgressStatus, status.TerminatingStatus}
	seen := map[status.Status]int{}
	agrees := func(t *rapid.T) {
		in := genInput(t)
		app := &v1.MyApp{
			TypeMeta:   metav1.TypeMeta{APIVersion: v1.GroupVersion.String(), Kind: "MyApp"},
			ObjectMeta: metav1.ObjectMeta{Namespace: in.Namespace, Name: in.Name, Generation: in.Generation},
			Status:     Status(in, noon),
		}
		if in.Deleting {
			app.DeletionTimestamp = &before
		}
		edited := rapid.IntRange(0, 3).Draw(t, "edited") == 0
		if edited {
			app.Generation++
		}
		object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(app)
		if err != nil {
			t.Fatal(err)
		}
		result, err := status.Compute(&unstructured.Unstructured{Object: object})
		if err != nil {
			t.Fatal(err)
		}
		is := func(condition string) bool { return meta.IsStatusConditionTrue(app.Status.Conditions, condition) }
		want := status.InProgressStatus
		switch {
		case in.Deleting:
			want = status.TerminatingStatus
		case edited:
		case is(v1.ConditionStalled):
			want = status.FailedStatus
		case is(v1.ConditionReady):
			want = status.CurrentStatus
		}
		if result.Status != want {
			t.Fatalf("kstatus says %s %q, want %s, of %+v", result.Status, result.Message, want, app.Status.Conditions)
		}
		if is(v1.ConditionReady) && (is(v1.ConditionStalled) || is(v1.ConditionHeld)) {
			t.Fatalf("ready, and yet stalled or held: %+v", app.Status.Conditions)
		}
		seen[result.Status]++
	}
	checkUntil(t, agrees, func() bool { return len(seen) == len(all) })
	for _, want := range all {
		if seen[want] == 0 {
			t.Errorf("no input led to %s: %v", want, seen)
		}
	}
}

// TestUnchangedRowsCostNothing: a pass that finds nothing new makes no list of its
// own, and one that does leaves the list it was given alone.
func TestUnchangedRowsCostNothing(t *testing.T) {
	o := Observation{Reports: map[string]Report{}, Members: map[string]Member{}}
	for _, name := range names4 {
		o.Next = append(o.Next, row(v1.PlacementReady, func(r *v1.PlacementRow) { r.Cluster, r.Updated, r.AppliedHash, r.ReadyReplicas = name, true, "h", 2 }))
		o.Reports[name] = Report{Decision: 4, Feedback: v1.Feedback{State: v1.FeedbackReady, AppliedHash: "h", ReadyReplicas: 2}}
		o.Members[name] = Member{Exists: true, Ready: true}
	}
	o.Persisted = o.Next
	if n := testing.AllocsPerRun(10, func() { Rows(o, noon) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	given := slices.Clone(o.Next)
	o.Reports["d"] = Report{Decision: 4, Feedback: v1.Feedback{State: v1.FeedbackFailed}}
	rows, _ := Rows(o, noon)
	if diff := cmp.Diff(given, o.Next); diff != "" {
		t.Errorf("the list that was given was changed (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(given[:3], rows[:3]); diff != "" || rows[3].State != v1.PlacementFailed {
		t.Errorf("only d failed (-before +after):\n%s", diff)
	}
}
