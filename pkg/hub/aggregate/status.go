package aggregate

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/example/myapp-hub/api/v1"
)

// Input is all that makes a status.
type Input struct {
	// Old is the persisted status.
	Old v1.MyAppStatus
	// Rows are the rows that Rows returned.
	Rows []v1.PlacementRow
	// Namespace, Name, Generation, Deleting and Paused are the MyApp's.
	Namespace, Name  string
	Generation       int64
	Deleting, Paused bool
	// Revision is the name of the current revision; empty while the spec is not
	// valid. Selector is the query for pods.
	Revision, Selector string
	// Replicas are the numbers of pods wanted, by member. A member that is not
	// there is not known well enough to say; its row is taken as it is.
	Replicas map[string]int32
	// SpecReplicas is the number of pods on a member without an override of its
	// own. Divided is true when it is that on all members together. Autoscaled is
	// true when autoscalers on the members choose the number.
	SpecReplicas int32
	Divided      bool
	Autoscaled   bool
	// PlacementReason and PlacementMessage sum up the placement.
	PlacementReason, PlacementMessage string
	// Rollout is how far a rollout in steps is; nil if there is none.
	Rollout *v1.RolloutStatus
	// Waits says why members have to wait for other apps; nil if none has.
	Waits *Hold
	// Invalid says what is wrong with the spec; empty if nothing is.
	Invalid string
	// Exceeded says what a quota does not allow; empty if it allows all.
	Exceeded string
	// Held says why the hub changes nothing; nil if it does.
	Held *Hold
}

// Hold is why the hub changes nothing for an app.
type Hold struct {
	// Reason is one of the v1.Reason constants; Message says it for a person.
	Reason, Message string
}

// blocked says what in the spec keeps the app as it is; nil if nothing does.
func (in *Input) blocked() *Hold {
	switch {
	case in.Invalid != "":
		return &Hold{Reason: v1.ReasonSpecInvalid, Message: in.Invalid}
	case in.Exceeded != "":
		return &Hold{Reason: v1.ReasonQuotaExceeded, Message: in.Exceeded}
	}
	return nil
}

// Status is the complete status. Contents that did not change are equal to the
// old ones, times included.
func Status(in Input, now metav1.Time) v1.MyAppStatus {
	status := v1.MyAppStatus{
		ObservedGeneration: in.Generation,
		Revision:           in.Revision,
		Selector:           in.Selector,
		Placements:         in.Rows,
		Rollout:            in.Rollout,
		Conditions:         slices.Clone(in.Old.Conditions),
	}
	seen := survey(&in)
	status.Summary = &seen.summary
	status.Replicas = seen.fewest
	setConditions(&status.Conditions, &in, &seen.groups, now)
	return status
}

// current is true for a member that has confirmed the current spec. While an app
// is paused a row may be confirmed and yet not current.
func (in *Input) current(r *v1.PlacementRow) bool { return in.confirmed(r, in.replicasOf(r)) }

func (in *Input) confirmed(r *v1.PlacementRow, replicas int32) bool {
	return r.Updated && r.Revision == in.Revision && r.Replicas == replicas
}

// replicasOf is the number of pods that the member of a row is to run now.
func (in *Input) replicasOf(r *v1.PlacementRow) int32 {
	if wanted, ok := in.Replicas[r.Cluster]; ok {
		return wanted
	}
	return r.Replicas
}

// view is what the rows are together.
type view struct {
	summary v1.Summary
	// fewest are the fewest pods on one of the members, in the unit of
	// spec.replicas: a member whose number an override sets does not count, since
	// scaling the app does not change it. With autoscaling every member counts.
	// Where replicas are divided it is the pods on all members.
	fewest int32
	groups groups
}

// survey looks at each row once.
func survey(in *Input) (v view) {
	counted := false
	for i := range in.Rows {
		r := &in.Rows[i]
		replicas := in.replicasOf(r)
		current := in.confirmed(r, replicas)
		v.groups.put(r, current)
		if !wanted(r) {
			continue
		}
		count(&v.summary, r, current)
		if in.Divided {
			v.fewest += r.CurrentReplicas
			continue
		}
		if !in.Autoscaled && replicas != in.SpecReplicas {
			continue
		}
		if !counted || r.CurrentReplicas < v.fewest {
			v.fewest, counted = r.CurrentReplicas, true
		}
	}
	v.summary.Clusters = int32(len(in.Rows)) //nolint:gosec // rows are bounded by the number of members
	v.groups.hold = in.Held
	if older := &v.groups.older; v.groups.hold == nil && older.count > 0 {
		v.groups.hold = &Hold{Reason: reasonOf(older.first[0]), Message: "another state of the hub has written what is on " + details(older, len(in.Rows))}
	}
	return v
}

// count adds a row that is wanted. A member that is Leaving, Removing or Stray counts as a
// cluster, but nothing is wanted of it.
func count(s *v1.Summary, r *v1.PlacementRow, current bool) {
	s.TotalReplicas += r.Replicas
	if r.State == v1.PlacementUnknown {
		s.Unknown++
		s.UnknownReplicas += r.Replicas
		return
	}
	s.ReadyReplicas += r.ReadyReplicas
	if !current {
		return
	}
	s.Updated++
	if r.State == v1.PlacementReady {
		s.Ready++
	}
}

// Settled is true when every member has said its last word on the current
// decision: none is pending, progressing or being removed.
func Settled(rows []v1.PlacementRow) bool {
	for i := range rows {
		switch rows[i].State {
		case v1.PlacementPending, v1.PlacementProgressing, v1.PlacementLeaving, v1.PlacementRemoving:
			return false
		case v1.PlacementReady, v1.PlacementFailed, v1.PlacementUnknown, v1.PlacementStray:
		}
	}
	return true
}

// wanted is true for a row whose member is to run the app.
func wanted(r *v1.PlacementRow) bool {
	return r.IsPlaced() && r.State != v1.PlacementLeaving
}

// inOrder are the rows ordered by name, as they are stored and decided; rows that
// are not in that order are copied.
func inOrder(rows []v1.PlacementRow) []v1.PlacementRow {
	for i := 1; i < len(rows); i++ {
		if rows[i].Cluster < rows[i-1].Cluster {
			rows = slices.Clone(rows)
			sortRows(rows)
			break
		}
	}
	return rows
}

func sortRows(rows []v1.PlacementRow) {
	slices.SortFunc(rows, func(a, b v1.PlacementRow) int { return strings.Compare(a.Cluster, b.Cluster) })
}
