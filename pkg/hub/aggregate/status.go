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
	// Generation, Deleting and Paused are the MyApp's.
	Generation       int64
	Deleting, Paused bool
	// Revision is the name of the current revision, Replicas the number of pods
	// per member, Selector the query for pods.
	Revision string
	Replicas int32
	Selector string
	// PlacementReason and PlacementMessage sum up the placement.
	PlacementReason, PlacementMessage string
}

// Status is the complete status. Contents that did not change are equal to the
// old ones, times included.
func Status(in Input, now metav1.Time) v1.MyAppStatus {
	status := v1.MyAppStatus{
		ObservedGeneration: in.Generation,
		Revision:           in.Revision,
		Selector:           in.Selector,
		Placements:         in.Rows,
		Conditions:         slices.Clone(in.Old.Conditions),
	}
	summary := summarize(in)
	status.Summary = &summary
	status.Replicas = fewestReplicas(in.Rows)
	setConditions(&status.Conditions, in, now)
	return status
}

// current is true for a member that has confirmed the current spec. While an app
// is paused a row may be confirmed and yet not current.
func (in Input) current(r v1.PlacementRow) bool {
	return r.Updated && r.Revision == in.Revision && r.Replicas == in.Replicas
}

// summarize counts members and replicas. A member that is Removing or Stray
// counts as a cluster, but nothing is wanted of it.
func summarize(in Input) v1.Summary {
	s := v1.Summary{Clusters: int32(len(in.Rows))} //nolint:gosec // rows are bounded by the number of members
	for _, r := range in.Rows {
		if !wanted(r) {
			continue
		}
		s.TotalReplicas += r.Replicas
		if r.State == v1.PlacementUnknown {
			s.Unknown++
			s.UnknownReplicas += r.Replicas
			continue
		}
		s.ReadyReplicas += r.ReadyReplicas
		if !in.current(r) {
			continue
		}
		s.Updated++
		if r.State == v1.PlacementReady {
			s.Ready++
		}
	}
	return s
}

// Settled is true when every member has said its last word on the current
// decision: none is pending, progressing or being removed.
func Settled(rows []v1.PlacementRow) bool {
	for _, r := range rows {
		switch r.State {
		case v1.PlacementPending, v1.PlacementProgressing, v1.PlacementRemoving:
			return false
		case v1.PlacementReady, v1.PlacementFailed, v1.PlacementUnknown, v1.PlacementStray:
		}
	}
	return true
}

// wanted is true for a row whose member is to run the app.
func wanted(r v1.PlacementRow) bool {
	return r.State != v1.PlacementRemoving && r.State != v1.PlacementStray
}

func fewestReplicas(rows []v1.PlacementRow) int32 {
	fewest, found := int32(0), false
	for _, r := range rows {
		if wanted(r) && (!found || r.CurrentReplicas < fewest) {
			fewest, found = r.CurrentReplicas, true
		}
	}
	return fewest
}

func sortRows(rows []v1.PlacementRow) {
	slices.SortFunc(rows, func(a, b v1.PlacementRow) int { return strings.Compare(a.Cluster, b.Cluster) })
}
