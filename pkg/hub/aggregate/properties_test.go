package aggregate

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	v1 "github.com/example/myapp-hub/api/v1"
)

var (
	states = []v1.PlacementState{
		v1.PlacementPending, v1.PlacementProgressing, v1.PlacementReady, v1.PlacementFailed,
		v1.PlacementUnknown, v1.PlacementRemoving, v1.PlacementStray,
	}
	reasons = []string{v1.ReasonPodsNotReady, v1.ReasonForbidden, v1.ReasonRejected, v1.ReasonApplyError, ""}
	names4  = []string{"a", "b", "c", "d"}
)

type world struct {
	persisted, next []v1.PlacementRow
	reports         map[string]Report
	members         map[string]Member
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
	w := world{reports: map[string]Report{}, members: map[string]Member{}}
	for _, name := range names4 {
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

func genInput(t *rapid.T) Input {
	w := genWorld(t)
	return Input{
		Rows:       Rows(w.persisted, w.next, w.reports, w.members, noon),
		Generation: rapid.Int64Range(1, 3).Draw(t, "generation"),
		Deleting:   rapid.Bool().Draw(t, "deleting"), Paused: rapid.Bool().Draw(t, "paused"),
		Revision:        "web-1",
		Replicas:        rapid.Int32Range(0, 3).Draw(t, "wanted replicas"),
		PlacementReason: rapid.SampledFrom([]string{v1.ReasonPlaced, v1.ReasonNoMatch, v1.ReasonSelectorInvalid}).Draw(t, "placement"),
	}
}

// TestRowsAreDroppedOnlyOnConfirmation is law 1.
func TestRowsAreDroppedOnlyOnConfirmation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWorld(t)
		left := map[string]bool{}
		got := Rows(w.persisted, w.next, w.reports, w.members, noon)
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
			want := confirmed && (ordered || row.State == v1.PlacementStray)
			if left[row.Cluster] == want {
				t.Fatalf("row %+v, persisted %+v, report %+v: dropped = %v, want %v", row, stored, report, !left[row.Cluster], want)
			}
		}
	})
}

// TestSilenceIsNeverReady is law 5: no member that does not answer has a row
// that is Ready, and every row that is wanted of it is Unknown.
func TestSilenceIsNeverReady(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWorld(t)
		for _, row := range Rows(w.persisted, w.next, w.reports, w.members, noon) {
			if m := w.members[row.Cluster]; wanted(row) && !m.Ready && row.State != v1.PlacementUnknown {
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
		for _, row := range Rows(w.persisted, w.next, w.reports, w.members, noon) {
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
		s := summarize(in)
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
// what the spec says now.
func TestReadyIsTrueOnlyIfAllAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := genInput(t)
		status := Status(in, noon)
		is := meta.IsStatusConditionTrue(status.Conditions, v1.ConditionReady)
		all, some := true, false
		for _, row := range in.Rows {
			if wanted(row) {
				some = true
				all = all && row.State == v1.PlacementReady && in.current(row) && row.Updated && row.Replicas == in.Replicas
			}
		}
		if is != (all && some && !in.Deleting) {
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
		in.Rows = Rows(w.persisted, w.next, w.reports, w.members, noon)
		in.Old = Status(in, noon)

		// A confirmed removal goes once its order is persisted; after that nothing moves.
		in.Rows = Rows(in.Old.Placements, in.Old.Placements, w.reports, w.members, noon)
		in.Old = Status(in, noon)

		later := metav1.NewTime(noon.Add(time.Hour))
		persisted := *in.Old.DeepCopy()
		in.Rows = Rows(persisted.Placements, persisted.Placements, w.reports, w.members, later)
		if diff := cmp.Diff(persisted, Status(in, later)); diff != "" {
			t.Fatalf("-persisted +again:\n%s", diff)
		}
		if diff := cmp.Diff(persisted, in.Old); diff != "" {
			t.Fatalf("the persisted status was changed:\n%s", diff)
		}
	})
}
