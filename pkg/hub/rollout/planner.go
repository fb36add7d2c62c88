package rollout

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/placement"
)

// State is all that decides the next rows.
type State struct {
	// Rows are the persisted rows.
	Rows []v1.PlacementRow
	// Verdicts are placement's, one for every row and member.
	Verdicts []placement.Verdict
	// Revision is the name of the current revision.
	Revision string
	// Replicas are the numbers of pods, by member. Every member that is to run
	// the app has one.
	Replicas map[string]int32
}

// Next gives the rows that follow, ordered by member name. A row whose decision
// does not change is returned as it is.
func Next(s State, now metav1.Time) []v1.PlacementRow {
	persisted := make(map[string]v1.PlacementRow, len(s.Rows))
	for _, row := range s.Rows {
		persisted[row.Cluster] = row
	}
	var next []v1.PlacementRow
	for _, v := range s.Verdicts {
		row, placed := persisted[v.Cluster]
		row.Cluster = v.Cluster
		switch v.Outcome {
		case placement.Run:
			next = append(next, run(row, placed, s, now))
		case placement.Remove:
			next = append(next, remove(row, v, now))
		case placement.Keep:
			next = append(next, row)
		case placement.Reject:
		}
	}
	slices.SortFunc(next, func(a, b v1.PlacementRow) int { return strings.Compare(a.Cluster, b.Cluster) })
	return next
}

func run(row v1.PlacementRow, placed bool, s State, now metav1.Time) v1.PlacementRow {
	decided := placed && row.State != v1.PlacementRemoving && row.State != v1.PlacementStray
	replicas := s.Replicas[row.Cluster]
	if decided && row.Revision == s.Revision && row.Replicas == replicas {
		return row
	}
	row.Revision, row.Replicas = s.Revision, replicas
	row.Decision++
	row.Updated = false
	reason, message := v1.ReasonPending, "recorded; not yet on the member"
	if decided {
		reason, message = v1.ReasonUpdating, "the member does not have the current revision and replicas yet"
	}
	// A member that does not answer stays Unknown until it does.
	if row.State != v1.PlacementUnknown {
		transition(&row, v1.PlacementPending, now)
		row.Reason, row.Message = reason, message
	}
	return row
}

func remove(row v1.PlacementRow, v placement.Verdict, now metav1.Time) v1.PlacementRow {
	if row.State == v1.PlacementRemoving {
		return row
	}
	row.Decision++
	row.Updated = false
	row.LastReportTime = nil
	transition(&row, v1.PlacementRemoving, now)
	row.Reason, row.Message = v.Reason, v.Message
	return row
}

func transition(row *v1.PlacementRow, to v1.PlacementState, now metav1.Time) {
	if row.State != to {
		row.State, row.LastTransitionTime = to, now
	}
}
