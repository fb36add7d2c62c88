package aggregate

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

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
	// Work is the UID of the Work that an agent reported in; empty for Push. A
	// Work that was lost and made again counts anew.
	Work types.UID
	// Sequence orders the reports about one decision in one Work: of two the
	// higher is the later. Zero where reports cannot overtake each other.
	Sequence int64
	v1.Feedback
}

// News is how much a report changes.
type News int

const (
	// Repeated: it is the first one, and the row says the same already.
	Repeated News = iota
	// Changed: it may change the row.
	Changed
	// BecameReady: the app has become ready on the member.
	BecameReady
)

// NewsOf compares a report with the one before it, if there was one, and with the row
// that it is about, if there is one.
func NewsOf(report Report, before *Report, row *v1.PlacementRow) News {
	switch {
	case before == nil && row != nil && recorded(*row, report):
		return Repeated
	case report.State == v1.FeedbackReady && (before == nil || before.State != v1.FeedbackReady):
		return BecameReady
	default:
		return Changed
	}
}

// recorded is true when the row of a member that answers says all that the report does.
func recorded(row v1.PlacementRow, report Report) bool {
	if !wanted(&row) || row.Decision != report.Decision {
		return false
	}
	after := row
	observe(&after, &report, true, Member{Exists: true, Ready: true}, false, metav1.Time{})
	return after == row
}

// Observation is all that is known of the rows of an app.
type Observation struct {
	// Persisted are the rows as they are stored, Next the rows as rollout
	// decided them.
	Persisted, Next []v1.PlacementRow
	// Reports and Members are what is known of the members, by name.
	Reports map[string]Report
	Members map[string]Member
	// Autoscaled is true when the number of pods is the business of autoscalers
	// on the members.
	Autoscaled bool
	// Held is true while the hub changes nothing: then no row goes.
	Held bool
	// ForceRemoved are the members whose confirmation of a removal is not waited
	// for, because a person said so about a MyApp that is being deleted.
	ForceRemoved map[string]bool
}

// Rows brings the observed part of the rows up to date. Rows of members that
// have confirmed the removal are left out; strays that were reported by members
// without a row are added. forced are the members whose rows are left out
// although they have confirmed nothing.
//
// Where nothing is new the rows are o.Next itself: neither may be changed.
func Rows(o Observation, now metav1.Time) (rows []v1.PlacementRow, forced []string) {
	o.Next = inOrder(o.Next)
	out, stored := result{next: o.Next}, cursor{rows: o.Persisted}
	met := 0 // how many of the reports are about rows
	for i := range o.Next {
		row := o.Next[i]
		report, reported := o.Reports[row.Cluster]
		if reported {
			met++
		}
		reported = reported && report.Decision == row.Decision
		confirmed := reported && report.State == v1.FeedbackRemoved
		switch goes := o.mayGo(&stored, &row); {
		case goes && confirmed:
			out.drop()
			continue
		case goes && row.State == v1.PlacementRemoving && o.ForceRemoved[row.Cluster]:
			forced = append(forced, row.Cluster)
			out.drop()
			continue
		case row.State == v1.PlacementRemoving:
			removing(&row, &report, reported, o.Members[row.Cluster])
		default:
			observe(&row, &report, reported, o.Members[row.Cluster], o.Autoscaled, now)
		}
		out.keep(i, &row)
	}
	var more []v1.PlacementRow
	if met < len(o.Reports) {
		more = strays(o, now)
	}
	return out.list(more), forced
}

// result are the rows that follow from those that were decided. They are the same
// list for as long as nothing differs: most passes over a thousand rows change few.
type result struct {
	next, own []v1.PlacementRow
	count     int
}

// keep takes row i of next, as it is now.
func (r *result) keep(i int, row *v1.PlacementRow) {
	if r.count != i || *row != r.next[i] {
		r.copy()
		r.own[r.count] = *row
	}
	r.count++
}

// drop leaves a row of next out.
func (r *result) drop() { r.copy() }

func (r *result) copy() {
	if r.own == nil {
		r.own = slices.Clone(r.next)
	}
}

// list are the rows with those of strays among them, and no message too long.
func (r *result) list(strays []v1.PlacementRow) []v1.PlacementRow {
	if len(strays) > 0 {
		r.copy()
		r.own = append(r.own[:r.count], strays...)
		r.count = len(r.own)
		sortRows(r.own)
	}
	rows := r.next
	if r.own != nil {
		rows = r.own[:r.count]
	}
	most := min(longestMessage, max(shortestMessage, allMessages/max(1, len(rows))))
	for i := range rows {
		if short := cut(rows[i].Message, most); short != rows[i].Message {
			r.copy()
			rows = r.own[:r.count]
			rows[i].Message = short
		}
	}
	return rows
}

// cursor finds rows by name. Who asks in their order pays for one way through.
type cursor struct {
	rows []v1.PlacementRow
	at   int
}

func (c *cursor) find(name string) *v1.PlacementRow {
	for range c.rows {
		r := &c.rows[c.at]
		c.at = (c.at + 1) % len(c.rows)
		if r.Cluster == name {
			return r
		}
	}
	return nil
}

// strays are rows for what members have without one.
func strays(o Observation, now metav1.Time) (rows []v1.PlacementRow) {
	for cluster, report := range o.Reports {
		// What a forced removal leaves behind must not come back as a stray.
		if !report.Stray || o.ForceRemoved[cluster] {
			continue
		}
		_, known := slices.BinarySearchFunc(o.Next, cluster, func(r v1.PlacementRow, name string) int { return strings.Compare(r.Cluster, name) })
		if !known {
			rows = append(rows, v1.PlacementRow{
				Cluster: cluster, State: v1.PlacementStray, Reason: v1.ReasonStray, LastTransitionTime: now,
				Message: "objects of this app are on " + cluster + " although no decision put them there; they are left alone. Choose the member to take them over, or delete the MyApp to remove them",
			})
		}
	}
	return rows
}

// mayGo is true for a row that a confirmation ends: its removal is on record, as
// it is now, or nothing was ever decided about it.
func (o *Observation) mayGo(persisted *cursor, row *v1.PlacementRow) bool {
	if o.Held || row.State != v1.PlacementRemoving {
		return !o.Held && row.State == v1.PlacementStray
	}
	stored := persisted.find(row.Cluster)
	return stored != nil && stored.State == v1.PlacementRemoving && stored.Decision == row.Decision
}

const (
	// allMessages is how many characters the messages of all rows may have
	// together: a thousand members with an error each must fit into one object.
	allMessages = 200_000
	// shortestMessage is what a row may have at any rate.
	shortestMessage = 128
)

func observe(row *v1.PlacementRow, report *Report, reported bool, m Member, autoscaled bool, now metav1.Time) {
	switch {
	case row.State == v1.PlacementStray:
		// Nothing is wanted of it: it must not become Unknown, which is.
		return
	case row.State == v1.PlacementLeaving:
		// Why it is left is what matters.
		if reported && m.Ready {
			row.CurrentReplicas, row.ReadyReplicas = believable(report.Replicas), believable(report.ReadyReplicas)
		}
		return
	case !m.Exists || !m.Ready:
		unknown(row, m, now)
		return
	case !reported:
		return
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
	if state == v1.PlacementReady && report.ReadyReplicas < row.Replicas && !autoscaled {
		// The member's own Deployment asks for fewer pods than was decided.
		state, reason = v1.PlacementProgressing, v1.ReasonPodsNotReady
		message = fmt.Sprintf("%d of %d pods are ready, and the Deployment on %s asks for no more: somebody scaled it there. Scale it back there, or change the MyApp", report.ReadyReplicas, row.Replicas, row.Cluster)
	}
	set(row, state, now)
	row.LastReportTime = nil
	row.Updated = report.AppliedHash != ""
	if report.AppliedHash != "" {
		row.AppliedHash = report.AppliedHash
	}
	row.CurrentReplicas, row.ReadyReplicas = believable(report.Replicas), believable(report.ReadyReplicas)
	row.Reason, row.Message = reason, message
}

// believable is a number of pods that an app can have, as WorkStatus bounds it: a
// hostile member's API server may say any.
func believable(pods int32) int32 { return min(max(pods, 0), 100_000) }

// unknown keeps the last report: only its state, reason and time are new.
func unknown(row *v1.PlacementRow, m Member, now metav1.Time) {
	if row.State != v1.PlacementUnknown {
		row.LastReportTime = m.LastHeard
		if row.LastReportTime == nil {
			heard := now
			row.LastReportTime = &heard
		}
	}
	set(row, v1.PlacementUnknown, now)
	row.Reason, row.Message = silence(row.Cluster, m)
}

// removing keeps why the app leaves the member, but for a member that refuses to
// carry the order out.
func removing(row *v1.PlacementRow, report *Report, reported bool, m Member) {
	switch {
	case !m.Exists || !m.Ready:
		_, message := silence(row.Cluster, m)
		row.Message = "the removal is not confirmed: " + message
	case reported && report.Reason == v1.ReasonHubRestored:
		row.Reason, row.Message = report.Reason, report.Message
	case reported && report.Message != "":
		row.Message = report.Message
	}
	if reported && row.Reason == v1.ReasonHubRestored && report.Reason != v1.ReasonHubRestored {
		row.Reason = v1.ReasonRemoving
	}
}

func silence(cluster string, m Member) (reason, message string) {
	if !m.Exists {
		return v1.ReasonMemberGone, fmt.Sprintf("MemberCluster %s does not exist: create it again to go on; until then what runs on the cluster is left alone", cluster)
	}
	message = m.Message
	if message == "" {
		message = cluster + " does not answer"
	}
	return v1.ReasonMemberUnknown, message
}

func set(row *v1.PlacementRow, state v1.PlacementState, now metav1.Time) {
	if row.State != state {
		row.State, row.LastTransitionTime = state, now
	}
}
