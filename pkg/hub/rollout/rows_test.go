package rollout

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/placement"
)

var (
	before = metav1.NewTime(time.Date(2026, 5, 4, 11, 0, 0, 0, time.UTC))
	noon   = metav1.NewTime(time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC))
)

func TestNext(t *testing.T) {
	ready := v1.PlacementRow{
		Cluster: "m", State: v1.PlacementReady, Decision: 4, Revision: "web-1", Replicas: 2, CurrentReplicas: 2, ReadyReplicas: 2,
		AppliedHash: "h", Updated: true, LastTransitionTime: before,
	}
	with := func(change func(*v1.PlacementRow)) *v1.PlacementRow {
		row := ready
		change(&row)
		return &row
	}
	unknown := with(func(r *v1.PlacementRow) {
		r.State, r.Reason, r.Message, r.LastReportTime = v1.PlacementUnknown, v1.ReasonMemberUnknown, "silent", &before
	})
	removing := with(func(r *v1.PlacementRow) {
		r.State, r.Reason, r.Updated = v1.PlacementRemoving, v1.ReasonNotChosen, false
	})
	leaving := with(func(r *v1.PlacementRow) { r.State, r.Reason = v1.PlacementLeaving, v1.ReasonNotChosen })
	stray := &v1.PlacementRow{Cluster: "m", State: v1.PlacementStray, Reason: v1.ReasonStray, LastTransitionTime: before}
	const same = "the row itself"

	type want struct {
		state    v1.PlacementState
		decision int64
		revision string
		replicas int32
		updated  bool
		reason   string
		moved    bool // LastTransitionTime is now
	}
	for _, tt := range []struct {
		name, reason string
		row          *v1.PlacementRow
		outcome      placement.Outcome
		revision     string
		replicas     int32
		want         any // want, same, or nil for no row
	}{
		{"new", "a chosen member gets a row before anything happens there", nil, placement.Run, "web-1", 2,
			want{v1.PlacementPending, 1, "web-1", 2, false, v1.ReasonPending, true}},
		{"rejected", "a member without a row that is not chosen gets none", nil, placement.Reject, "web-1", 2, nil},
		{"nothing new", "an unchanged decision changes nothing", &ready, placement.Run, "web-1", 2, same},
		{"new revision", "the member is told again", &ready, placement.Run, "web-2", 2,
			want{v1.PlacementPending, 5, "web-2", 2, false, v1.ReasonUpdating, true}},
		{"scaled", "so is a change of replicas", &ready, placement.Run, "web-1", 3,
			want{v1.PlacementPending, 5, "web-1", 3, false, v1.ReasonUpdating, true}},
		{"scaled while silent", "a silent member stays Unknown until it answers", unknown, placement.Run, "web-1", 3,
			want{v1.PlacementUnknown, 5, "web-1", 3, false, v1.ReasonMemberUnknown, false}},
		{"silent", "silence alone is no decision", unknown, placement.Run, "web-1", 2, same},
		{"kept", "it keeps even an old revision", &ready, placement.Keep, "web-2", 9, same},
		{"kept while removing", "a removal is neither begun nor undone", removing, placement.Keep, "web-2", 9, same},
		{"not chosen", "the removal is recorded first", &ready, placement.Remove, "web-2", 9,
			want{v1.PlacementRemoving, 5, "web-1", 2, false, v1.ReasonNotChosen, true}},
		{"not chosen, silent", "the order is recorded and waits for the member", unknown, placement.Remove, "web-1", 2,
			want{v1.PlacementRemoving, 5, "web-1", 2, false, v1.ReasonNotChosen, true}},
		{"still not chosen", "the order stands as it is", removing, placement.Remove, "web-2", 9, same},
		{"chosen again", "an old confirmation of the removal must not count", removing, placement.Run, "web-1", 2,
			want{v1.PlacementPending, 5, "web-1", 2, false, v1.ReasonPending, true}},
		{"leaving", "the member is told nothing, and keeps what it has", &ready, placement.Leave, "web-2", 9,
			want{v1.PlacementLeaving, 4, "web-1", 2, true, v1.ReasonNotChosen, true}},
		{"still leaving", "it is on record already", leaving, placement.Leave, "web-2", 9, same},
		{"left at last", "now the member is told", leaving, placement.Remove, "web-1", 2,
			want{v1.PlacementRemoving, 5, "web-1", 2, false, v1.ReasonNotChosen, true}},
		{"stays after all", "the member has what it is to have, and its last report counts", leaving, placement.Run, "web-1", 2,
			want{v1.PlacementPending, 4, "web-1", 2, true, v1.ReasonPending, true}},
		{"stays, and is updated", "that is a decision", leaving, placement.Run, "web-2", 2,
			want{v1.PlacementPending, 5, "web-2", 2, false, v1.ReasonUpdating, true}},
		{"stray, chosen", "the app is taken over by a decision", stray, placement.Run, "web-1", 2,
			want{v1.PlacementPending, 1, "web-1", 2, false, v1.ReasonPending, true}},
		{"stray, kept", "it is left alone", stray, placement.Keep, "web-1", 2, same},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := State{Revision: tt.revision}
			if tt.row != nil {
				s.Rows = []v1.PlacementRow{*tt.row}
			}
			s.Verdicts = []placement.Verdict{{Cluster: "m", Outcome: tt.outcome, Reason: v1.ReasonNotChosen, Message: "labels", Replicas: tt.replicas}}
			got := Next(s, noon).Rows
			if tt.want == nil {
				if len(got) != 0 {
					t.Errorf("%s: got %+v", tt.reason, got)
				}
				return
			}
			if len(got) != 1 {
				t.Fatalf("%s: got %+v", tt.reason, got)
			}
			if tt.want == same {
				if diff := cmp.Diff(*tt.row, got[0]); diff != "" {
					t.Errorf("%s (-row +next):\n%s", tt.reason, diff)
				}
				return
			}
			row := got[0]
			is := want{row.State, row.Decision, row.Revision, row.Replicas, row.Updated, row.Reason, row.LastTransitionTime.Equal(&noon)}
			if diff := cmp.Diff(tt.want, any(is), cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
			if tt.row != nil && (row.AppliedHash != tt.row.AppliedHash || row.CurrentReplicas != tt.row.CurrentReplicas || row.ReadyReplicas != tt.row.ReadyReplicas) {
				t.Errorf("what the member reported is aggregate's and must stay: %+v", row)
			}
		})
	}
}

var states = []v1.PlacementState{
	v1.PlacementPending, v1.PlacementProgressing, v1.PlacementReady, v1.PlacementFailed,
	v1.PlacementUnknown, v1.PlacementLeaving, v1.PlacementRemoving, v1.PlacementStray,
}

// genState makes rows and verdicts as placement pairs them: a row is run, kept
// or removed, another member run or rejected.
func genState(t *rapid.T) State {
	names := []string{"a", "b", "c", "d"}
	s := State{
		Revision: rapid.SampledFrom([]string{"web-1", "web-2"}).Draw(t, "revision"),
	}
	for _, name := range rapid.Permutation(names).Draw(t, "members") {
		v := placement.Verdict{Cluster: name, Reason: v1.ReasonNotChosen, Message: "labels"}
		v.Replicas = rapid.Int32Range(0, 2).Draw(t, name+" wanted replicas")
		if rapid.Bool().Draw(t, name+" placed") {
			s.Rows = append(s.Rows, v1.PlacementRow{
				Cluster: name, State: rapid.SampledFrom(states).Draw(t, name+" state"),
				Decision: rapid.Int64Range(0, 5).Draw(t, name+" decision"),
				Revision: rapid.SampledFrom([]string{"web-1", "web-2", ""}).Draw(t, name+" revision"),
				Replicas: rapid.Int32Range(0, 2).Draw(t, name+" replicas"),
				Updated:  rapid.Bool().Draw(t, name+" updated"), LastTransitionTime: before,
			})
			v.Outcome = rapid.SampledFrom([]placement.Outcome{placement.Run, placement.Keep, placement.Leave, placement.Remove}).Draw(t, name+" outcome")
		} else {
			v.Outcome = rapid.SampledFrom([]placement.Outcome{placement.Run, placement.Reject}).Draw(t, name+" outcome")
		}
		s.Verdicts = append(s.Verdicts, v)
	}
	return s
}

func rowsByName(rows []v1.PlacementRow) map[string]v1.PlacementRow {
	of := map[string]v1.PlacementRow{}
	for _, row := range rows {
		of[row.Cluster] = row
	}
	return of
}

func TestRowsAreOrderedAndComplete(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genState(t)
		var want []string
		for _, v := range s.Verdicts {
			if v.Outcome != placement.Reject {
				want = append(want, v.Cluster)
			}
		}
		slices.Sort(want)
		var got []string
		for _, row := range Next(s, noon).Rows {
			got = append(got, row.Cluster)
		}
		if !slices.Equal(want, got) {
			t.Fatalf("rows of %v, want %v: a row is never lost, and a member without a decision has none", got, want)
		}
	})
}

// TestDecisionCountsChanges: a row whose decision stays is identical, and the
// number rises by one exactly when revision, replicas or removal change.
func TestDecisionCountsChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genState(t)
		old := rowsByName(s.Rows)
		for _, row := range Next(s, noon).Rows {
			was, placed := old[row.Cluster]
			if !placed {
				if row.Decision != 1 || row.Updated {
					t.Fatalf("a new row: %+v", row)
				}
				continue
			}
			changed := row.Revision != was.Revision || row.Replicas != was.Replicas ||
				(row.State == v1.PlacementRemoving) != (was.State == v1.PlacementRemoving) ||
				was.State == v1.PlacementStray && row.State != v1.PlacementStray
			if row.State != was.State && (row.State == v1.PlacementLeaving || was.State == v1.PlacementLeaving) {
				continue // TestNext says what becomes of it; the member is told nothing
			}
			if !changed {
				if diff := cmp.Diff(was, row); diff != "" {
					t.Fatalf("nothing was decided, but the row differs:\n%s", diff)
				}
				continue
			}
			if row.Decision != was.Decision+1 || row.Updated {
				t.Fatalf("decided anew, but the number went from %d to %d, updated = %v", was.Decision, row.Decision, row.Updated)
			}
			if moved := row.State != was.State; moved != row.LastTransitionTime.Equal(&noon) {
				t.Fatalf("from %s to %s at %v", was.State, row.State, row.LastTransitionTime)
			}
		}
	})
}

func TestKeepAllChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genState(t)
		for i := range s.Verdicts {
			if s.Verdicts[i].Outcome == placement.Run || s.Verdicts[i].Outcome == placement.Leave || s.Verdicts[i].Outcome == placement.Remove {
				s.Verdicts[i].Outcome = placement.Keep
			}
		}
		placed := rowsByName(s.Rows)
		s.Verdicts = slices.DeleteFunc(s.Verdicts, func(v placement.Verdict) bool { _, ok := placed[v.Cluster]; return !ok })
		if diff := cmp.Diff(placed, rowsByName(Next(s, noon).Rows)); diff != "" {
			t.Fatalf("-rows +next:\n%s", diff)
		}
	})
}

// TestNextIsIdempotent: the same verdicts over the rows just decided change
// nothing, and the input is not written to.
func TestNextIsIdempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genState(t)
		given := slices.Clone(s.Rows)
		first := Next(s, noon).Rows
		if diff := cmp.Diff(given, s.Rows); diff != "" {
			t.Fatalf("the persisted rows were changed:\n%s", diff)
		}
		s.Rows = first
		if diff := cmp.Diff(first, Next(s, metav1.NewTime(noon.Add(time.Hour))).Rows); diff != "" {
			t.Fatalf("-first +second:\n%s", diff)
		}
	})
}

// TestEachMemberItsOwnReplicas: what one member is to run says nothing of others.
func TestEachMemberItsOwnReplicas(t *testing.T) {
	s := State{Revision: "web-1"}
	wants := func(a, b, c int32) map[string]int32 {
		s.Verdicts = []placement.Verdict{
			{Cluster: "a", Outcome: placement.Run, Replicas: a},
			{Cluster: "b", Outcome: placement.Run, Replicas: b},
			{Cluster: "c", Outcome: placement.Run, Replicas: c},
		}
		return map[string]int32{"a": a, "b": b, "c": c}
	}
	want := wants(3, 1, 0)
	s.Rows = Next(s, noon).Rows
	got := map[string]int32{}
	for _, row := range s.Rows {
		got[row.Cluster] = row.Replicas
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +rows:\n%s", diff)
	}
	wants(3, 2, 0)
	decided := map[string]int64{}
	for _, row := range Next(s, noon).Rows {
		decided[row.Cluster] = row.Decision
	}
	if diff := cmp.Diff(map[string]int64{"a": 1, "b": 2, "c": 1}, decided); diff != "" {
		t.Errorf("only one member is told again (-want +decisions):\n%s", diff)
	}
}
