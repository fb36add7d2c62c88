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
	// own. Autoscaled is true when autoscalers on the members choose the number.
	SpecReplicas int32
	Autoscaled   bool
	// PlacementReason and PlacementMessage sum up the placement.
	PlacementReason, PlacementMessage string
	// Invalid says what is wrong with the spec; empty if nothing is.
	Invalid string
	// Held says why the hub changes nothing; nil if it does.
	Held *Hold
}

// Hold is why the hub changes nothing for an app.
type Hold struct {
	// Reason is one of the v1.Reason constants; Message says it for a person.
	Reason, Message string
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
	status.Replicas = fewestReplicas(in)
	setConditions(&status.Conditions, in, now)
	return status
}

// current is true for a member that has confirmed the current spec. While an app
// is paused a row may be confirmed and yet not current.
func (in Input) current(r v1.PlacementRow) bool {
	return r.Updated && r.Revision == in.Revision && r.Replicas == in.replicasOf(r)
}

// replicasOf is the number of pods that the member of a row is to run now.
func (in Input) replicasOf(r v1.PlacementRow) int32 {
	if wanted, ok := in.Replicas[r.Cluster]; ok {
		return wanted
	}
	return r.Replicas
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

// fewestReplicas is the fewest pods on one of the members, in the unit of
// spec.replicas: a member whose number an override sets does not count, since
// scaling the app does not change it. With autoscaling every member counts.
func fewestReplicas(in Input) int32 {
	fewest, found := int32(0), false
	for _, r := range in.Rows {
		if !wanted(r) || !in.Autoscaled && in.replicasOf(r) != in.SpecReplicas {
			continue
		}
		if !found || r.CurrentReplicas < fewest {
			fewest, found = r.CurrentReplicas, true
		}
	}
	return fewest
}

func sortRows(rows []v1.PlacementRow) {
	slices.SortFunc(rows, func(a, b v1.PlacementRow) int { return strings.Compare(a.Cluster, b.Cluster) })
}
