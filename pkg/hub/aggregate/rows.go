package aggregate

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/example/myapp-hub/api/v1"
)

// Member is what is known of a member's reachability.
type Member struct {
	// Exists is false when there is no MemberCluster of that name.
	Exists bool
	// Ready is true when the member answers.
	Ready bool
	// LastHeard is when it was last heard of, if it does not answer.
	LastHeard *metav1.Time
	// Message says why it is not ready.
	Message string
}

// Report is what a member says about one app.
type Report struct {
	// Decision is the row's decision number that the report is about.
	Decision int64
	// Stray is true when the member has objects of the app although no row
	// accounts for them.
	Stray bool
	v1.Feedback
}

// Rows brings the observed part of the rows up to date. persisted are the rows
// as they are stored, next the rows as rollout decided them. Rows of members
// that have confirmed the removal are left out; strays that were reported by
// members without a row are added.
func Rows(persisted, next []v1.PlacementRow, reports map[string]Report, members map[string]Member, now metav1.Time) []v1.PlacementRow {
	before := make(map[string]v1.PlacementRow, len(persisted))
	for _, row := range persisted {
		before[row.Cluster] = row
	}
	rows := make([]v1.PlacementRow, 0, len(next))
	known := make(map[string]bool, len(next))
	for _, row := range next {
		known[row.Cluster] = true
		report, reported := reports[row.Cluster]
		reported = reported && report.Decision == row.Decision
		if row.State == v1.PlacementRemoving {
			stored, wasStored := before[row.Cluster]
			ordered := wasStored && stored.State == v1.PlacementRemoving && stored.Decision == row.Decision
			if ordered && reported && report.State == v1.FeedbackRemoved {
				continue
			}
			rows = append(rows, removing(row, report, reported, members[row.Cluster]))
			continue
		}
		if row.State == v1.PlacementStray && reported && report.State == v1.FeedbackRemoved {
			continue
		}
		rows = append(rows, observe(row, report, reported, members[row.Cluster], now))
	}
	for cluster, report := range reports {
		if report.Stray && !known[cluster] {
			rows = append(rows, v1.PlacementRow{
				Cluster: cluster, State: v1.PlacementStray, Reason: v1.ReasonStray, LastTransitionTime: now,
				Message: "objects of this app are on " + cluster + " although no decision put them there; they are left alone. Choose the member to take them over, or delete the MyApp to remove them",
			})
		}
	}
	sortRows(rows)
	return rows
}

func observe(row v1.PlacementRow, report Report, reported bool, m Member, now metav1.Time) v1.PlacementRow {
	switch {
	case row.State == v1.PlacementStray:
		// Nothing is wanted of it: it must not become Unknown, which is.
		return row
	case !m.Exists || !m.Ready:
		return unknown(row, m, now)
	case !reported:
		return row
	}
	state := v1.PlacementProgressing
	switch report.State {
	case v1.FeedbackReady:
		state = v1.PlacementReady
	case v1.FeedbackFailed:
		state = v1.PlacementFailed
	case v1.FeedbackProgressing, v1.FeedbackRemoving, v1.FeedbackRemoved, "":
	}
	reason, message := report.Reason, report.Message
	if state == v1.PlacementReady && report.ReadyReplicas < row.Replicas {
		// The member's own Deployment asks for fewer pods than was decided.
		state, reason = v1.PlacementProgressing, v1.ReasonPodsNotReady
		message = fmt.Sprintf("%d of %d pods are ready, and the Deployment on %s asks for no more: somebody scaled it there. Scale it back there, or change the MyApp", report.ReadyReplicas, row.Replicas, row.Cluster)
	}
	set(&row, state, now)
	row.LastReportTime = nil
	row.Updated = report.AppliedHash != ""
	if report.AppliedHash != "" {
		row.AppliedHash = report.AppliedHash
	}
	row.CurrentReplicas, row.ReadyReplicas = report.Replicas, report.ReadyReplicas
	row.Reason, row.Message = reason, message
	return row
}

// unknown keeps the last report: only its state, reason and time are new.
func unknown(row v1.PlacementRow, m Member, now metav1.Time) v1.PlacementRow {
	if row.State != v1.PlacementUnknown {
		row.LastReportTime = m.LastHeard
		if row.LastReportTime == nil {
			row.LastReportTime = &now
		}
	}
	set(&row, v1.PlacementUnknown, now)
	row.Reason, row.Message = silence(row.Cluster, m)
	return row
}

func removing(row v1.PlacementRow, report Report, reported bool, m Member) v1.PlacementRow {
	switch {
	case !m.Exists || !m.Ready:
		_, message := silence(row.Cluster, m)
		row.Message = cut("the removal is not confirmed: "+message, longestMessage)
	case reported && report.Message != "":
		row.Message = report.Message
	}
	return row
}

func silence(cluster string, m Member) (reason, message string) {
	if !m.Exists {
		return v1.ReasonMemberGone, fmt.Sprintf("MemberCluster %s does not exist: create it again to go on; until then what runs on the cluster is left alone", cluster)
	}
	message = m.Message
	if message == "" {
		message = cluster + " does not answer"
	}
	return v1.ReasonMemberUnknown, cut(message, longestMessage)
}

func set(row *v1.PlacementRow, state v1.PlacementState, now metav1.Time) {
	if row.State != state {
		row.State, row.LastTransitionTime = state, now
	}
}
