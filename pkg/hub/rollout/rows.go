package rollout

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/placement"
)

// rows are those that follow. A row whose decision does not change is returned as it is,
// and the persisted rows themselves if none does: neither may be changed.
func (p *planner) rows() []v1.PlacementRow {
	persisted, members, alike := cursor{p.persisted}, p.members, member{revision: p.Revision}
	var next []v1.PlacementRow
	same := 0 // how many of the persisted rows follow as they are, from the first on
	for i := range p.verdicts {
		v := &p.verdicts[i]
		row, placed := v1.PlacementRow{Cluster: v.Cluster}, false
		if is := persisted.find(v.Cluster); is != nil {
			row, placed = *is, true
		}
		switch v.Outcome {
		case placement.Run:
			m := &alike
			if len(members) > 0 {
				m, members = &members[0], members[1:]
			}
			p.run(&row, placed, v.Replicas, m)
		case placement.Leave:
			leave(&row, v, p.now)
		case placement.Remove:
			remove(&row, v, p.now)
		case placement.Keep, placement.Reject:
		}
		if v.Outcome == placement.Reject || row.State == "" {
			continue // nothing is decided yet
		}
		if placed && next == nil && same < len(p.Rows) && row == p.Rows[same] {
			same++
			continue
		}
		if next == nil {
			next = append(make([]v1.PlacementRow, 0, max(len(p.Rows), len(p.verdicts))), p.Rows[:same]...)
		}
		next = append(next, row)
	}
	if next == nil {
		next = p.Rows[:same:same]
	}
	return next
}

// cursor finds rows that are ordered by name, for who asks in that order.
type cursor struct{ rows []v1.PlacementRow }

func (c *cursor) find(name string) *v1.PlacementRow {
	for len(c.rows) > 0 && c.rows[0].Cluster < name {
		c.rows = c.rows[1:] // nobody asks for it
	}
	if len(c.rows) > 0 && c.rows[0].Cluster == name {
		return &c.rows[0]
	}
	return nil
}

// inOrder are the rows and verdicts ordered by member name, as they are stored and
// made; a list that is not in that order is copied.
func inOrder(s *State) ([]v1.PlacementRow, []placement.Verdict) {
	rows := ordered(s.Rows, func(r *v1.PlacementRow) string { return r.Cluster })
	return rows, ordered(s.Verdicts, func(v *placement.Verdict) string { return v.Cluster })
}

func ordered[T any](list []T, name func(*T) string) []T {
	for i := 1; i < len(list); i++ {
		if name(&list[i]) < name(&list[i-1]) {
			list = slices.Clone(list)
			slices.SortStableFunc(list, func(a, b T) int { return strings.Compare(name(&a), name(&b)) })
			break
		}
	}
	return list
}

// run gives the member of a row its revision and replicas; one that is to wait gets no row.
func (p *planner) run(row *v1.PlacementRow, placed bool, replicas int32, m *member) {
	if m.waits != "" && !m.has() {
		return
	}
	decided, revision := placed && row.IsPlaced(), m.revision
	p.remember(row, decided, m)
	if decided && row.Revision == revision && row.Replicas == replicas {
		if row.State == v1.PlacementLeaving {
			// It stays after all, and its last report is about what it has.
			transition(row, v1.PlacementPending, p.now)
			row.Reason, row.Message = v1.ReasonPending, "the app stays; nothing is known of it yet"
		}
		return
	}
	row.Revision, row.Replicas = revision, replicas
	row.Decision++
	row.Updated = false
	reason, message := v1.ReasonPending, "recorded; not yet on the member"
	if decided {
		reason, message = v1.ReasonUpdating, "the member does not have the current revision and replicas yet"
	}
	// A member that does not answer stays Unknown until it does; one that has just answered is
	// under way from now on.
	if row.State != v1.PlacementUnknown || m.row != nil && m.row.State != v1.PlacementUnknown {
		transition(row, v1.PlacementPending, p.now)
		row.Reason, row.Message = reason, message
	}
}

// remember keeps, during a rollout in steps, where a member can go back to and since when
// it has its revision. What it has reported since it was recorded counts, too.
func (p *planner) remember(row *v1.PlacementRow, decided bool, m *member) {
	revision := m.revision
	switch {
	case p.settled():
		row.RevisionTime = p.catchesUp(row, decided, m)
		if !decided || row.Revision != revision || m.ready() || p.Rollout == nil {
			row.PreviousRevision = "" // else it may be needed yet
		}
	case decided && row.Revision == revision:
	case !decided || revision != p.Revision:
		// It is new, or goes back.
		row.PreviousRevision, row.RevisionTime = "", p.stamp()
	default:
		row.RevisionTime = p.stamp()
		worked := row.State == v1.PlacementReady && row.Updated || m.ready() || row.Revision == p.status.StableRevision
		if worked && !slices.Contains(p.status.FailedRevisions, row.Revision) {
			row.PreviousRevision = row.Revision
		}
	}
}

// catchesUp is since when a member that was not there for a rollout has its revision: it
// counts against budgets until it is ready, or late. For others it is nil.
func (p *planner) catchesUp(row *v1.PlacementRow, decided bool, m *member) *metav1.Time {
	switch {
	case p.Rollout == nil || !decided:
		return nil
	case row.Revision != m.revision:
		return p.stamp()
	case row.RevisionTime == nil || m.ready() || p.overdue(m):
		return nil
	}
	return row.RevisionTime
}

// leave is no decision that the member is told: it keeps what it has.
func leave(row *v1.PlacementRow, v *placement.Verdict, now metav1.Time) {
	if row.State == v1.PlacementLeaving || row.State == v1.PlacementRemoving {
		return
	}
	transition(row, v1.PlacementLeaving, now)
	row.Reason, row.Message = v.Reason, v.Message+"; it is left when those that take over are ready"
}

func remove(row *v1.PlacementRow, v *placement.Verdict, now metav1.Time) {
	if row.State == v1.PlacementRemoving {
		return
	}
	row.Decision++
	row.Updated = false
	row.LastReportTime = nil
	transition(row, v1.PlacementRemoving, now)
	row.Reason, row.Message = v.Reason, v.Message
}

func transition(row *v1.PlacementRow, to v1.PlacementState, now metav1.Time) {
	if row.State != to {
		row.State, row.LastTransitionTime = to, now
	}
}
