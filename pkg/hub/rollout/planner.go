package rollout

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/placement"
)

// State is all that decides the next rows.
type State struct {
	// Rows are the persisted rows.
	Rows []v1.PlacementRow
	// Verdicts are placement's, one for every row and member.
	Verdicts []placement.Verdict
	// Revision is the name of the current revision; empty while the spec is not valid.
	Revision string
	// Rollout is what decides who gets it when; nil for everybody at once.
	Rollout *Rollout
	// Waits says why a member has to wait for other apps, empty if it has not; nil if nobody
	// has.
	Waits func(member string) string
}

// Rollout is what a rollout in steps is decided from.
type Rollout struct {
	// Rules are those of the spec.
	Rules *Rules
	// Generation is that of the app.
	Generation int64
	// Status is the persisted status of the rollout; nil if there is none.
	Status *v1.RolloutStatus
	// Observed are the rows with what members have reported since.
	Observed []v1.PlacementRow
	// Heard is true if a member has reported to this process about what it is told now.
	// What it reported to another one may have changed unseen.
	Heard func(member string) bool
	// Same is true if the current revision means the same for a member as an earlier one;
	// nil if that is never so.
	Same func(member, revision string) bool
	// Labels gives the labels of a member.
	Labels func(member string) labels.Set
	// Answers are what a person has answered to the rollout.
	Answers []string
	// Measured gives the answers to a question; nil if none can be asked.
	Measured func(Question) Measured
	// Since is when this process began to hear of members: deadlines do not begin earlier.
	Since time.Time
}

// Result is what follows.
type Result struct {
	// Rows are ordered by member name.
	Rows []v1.PlacementRow
	// Status is how far a rollout in steps is; nil if there is none.
	Status *v1.RolloutStatus
	// Waiting are the members that wait for other apps, and Waits says for which the first
	// one does.
	Waiting []string
	Waits   string
	// Questions are what gates want to know.
	Questions []Question
	// Wake is when time alone can change the result; zero for never.
	Wake time.Time
}

// Next gives the rows and the status of the rollout that follow. What one pass decides is
// recorded together, before anything happens on a member, so that whoever goes on from
// what is on record goes on where this process would.
//
// A rollout in steps is decided in this order: is it a new one, has it failed, which step
// is to be taken, and who gets which revision now.
func Next(s State, now metav1.Time) Result {
	p := &planner{State: &s, now: now}
	p.persisted, p.verdicts = inOrder(&s)
	p.meet()
	if !p.stepwise() {
		return p.result(p.stopped())
	}
	p.begin()
	if p.returns() {
		p.free()
	}
	p.steps = p.Rules.divide(p.members, p.Revision, p.status.Generation)
	p.judge()
	p.count()
	p.advance()
	p.assign()
	return p.result(p.recorded())
}

func (p *planner) result(status *v1.RolloutStatus) Result {
	r := Result{Status: status, Rows: p.rows(), Questions: p.questions}
	r.Wake = p.wake // rows may have asked for one
	for i := range p.members {
		if m := &p.members[i]; m.waits != "" {
			if r.Waiting = append(r.Waiting, m.name); r.Waits == "" {
				r.Waits = m.waits
			}
		}
	}
	return r
}

// planner is a pass in the making.
type planner struct {
	*State
	*Rollout
	now metav1.Time

	persisted []v1.PlacementRow   // ordered by name
	verdicts  []placement.Verdict // ordered by name
	members   []member            // those that are to run the app, ordered by name
	steps     []step
	// status is that of the rollout in the making.
	status v1.RolloutStatus
	// placed is how many members have the app and are not to lose it, unready are those of
	// them that are not ready, and most is how many may be.
	placed  int
	unready []string
	most    int
	// questions are what gates want to know.
	questions []Question
	// unheard is true if nothing is new but that members have not been heard of yet.
	unheard bool
	wake    time.Time
}

// meet finds the members that are to run the app. Every one is to have the current revision
// unless steps say otherwise.
func (p *planner) meet() {
	p.Rollout = p.State.Rollout
	if p.Rollout == nil && p.Waits == nil {
		return // All are alike: no member has to be looked at.
	}
	rows := cursor{p.persisted}
	if p.Rollout != nil {
		rows = cursor{p.Observed}
	}
	p.members = make([]member, 0, len(p.verdicts))
	for i := range p.verdicts {
		v := &p.verdicts[i]
		row := rows.find(v.Cluster)
		switch {
		case v.Outcome == placement.Run:
			p.members = append(p.members, p.memberOf(v.Cluster, row))
		case v.Outcome == placement.Keep && row != nil && row.IsPlaced():
			p.placed++
			if row.State != v1.PlacementReady {
				p.unready = append(p.unready, row.Cluster)
			}
		}
	}
}

func (p *planner) memberOf(name string, row *v1.PlacementRow) member {
	m := member{name: name, row: row, revision: p.Revision}
	if p.Waits != nil && !m.on(p.Revision) {
		m.waits = p.Waits(m.name)
	}
	if (p.Rollout != nil || m.waits != "") && m.has() {
		m.revision = row.Revision // until its step comes
	}
	return m
}

// stepwise is true if the revision goes from step to step, and there is somebody to give it
// to.
func (p *planner) stepwise() bool {
	if p.Rollout == nil || p.Rules.err != nil || p.Revision == "" || len(p.members) == 0 {
		return false
	}
	for i := range p.members {
		m := &p.members[i]
		m.labels = p.Labels(m.name)
		// Of one that was to be left, and stays after all, only that is known.
		m.heard = p.Heard(m.name) && (m.row == nil || m.row.State != v1.PlacementLeaving)
	}
	return true
}

// stopped is the status while no step can be taken. What is waited for is not late then.
func (p *planner) stopped() *v1.RolloutStatus {
	if p.Rollout == nil {
		return nil
	}
	if s := p.Status; s == nil || s.Phase != v1.RolloutProgressing && s.Phase != v1.RolloutRollingBack {
		return s
	}
	p.status = *p.Status.DeepCopy()
	if p.status.PausedTime == nil {
		p.status.PausedTime = p.stamp()
	}
	return p.recorded()
}

// begin goes on with the rollout on record, or begins that of another revision.
func (p *planner) begin() {
	if old := p.Status; old != nil && old.Revision == p.Revision {
		p.status = *old.DeepCopy()
		if old.PausedTime != nil {
			p.status.ResumedTime, p.status.PausedTime = p.stamp(), nil
		}
		return
	}
	p.status = v1.RolloutStatus{Revision: p.Revision, Generation: p.Generation, Phase: v1.RolloutProgressing}
	p.say(v1.ReasonRollingOut, p.Revision+" is rolled out")
	if old := p.Status; old != nil {
		p.status.StableRevision = old.StableRevision
		for _, failed := range old.FailedRevisions {
			if failed != p.Revision { // which is tried anew
				p.status.FailedRevisions = append(p.status.FailedRevisions, failed)
			}
		}
	} else {
		p.status.StableRevision = p.mostFrequent()
	}
	if p.status.StableRevision == "" {
		p.complete() // The first revision has nothing to go back to.
	}
}

// mostFrequent is the revision that most members have beside the current one; empty if none
// has another.
func (p *planner) mostFrequent() string {
	count, best := map[string]int{}, ""
	for i := range p.persisted {
		r := &p.persisted[i]
		if !r.IsPlaced() || r.Revision == "" || r.Revision == p.Revision {
			continue
		}
		count[r.Revision]++
		if n := count[r.Revision] - count[best]; n > 0 || n == 0 && r.Revision < best {
			best = r.Revision
		}
	}
	return best
}

// returns is true if the revision is the one that was stable before: nothing has to be
// proved.
func (p *planner) returns() bool { return p.status.StableRevision == p.Revision }

// free lets members that have the app wait for no other: they go back.
func (p *planner) free() {
	for i := range p.members {
		if m := &p.members[i]; m.has() {
			m.waits = ""
		}
	}
}

// count finds who is not ready, and how many may be. Those on which the revision has failed
// and may have are not counted, or the first failure that is allowed would be the last.
func (p *planner) count() {
	for i := range p.members {
		m := &p.members[i]
		if !m.has() {
			continue
		}
		p.placed++
		if !m.ready() && !m.failed {
			p.unready = append(p.unready, m.name)
		}
	}
	p.most = of(&p.Rules.maxUnavailable, p.placed)
}

// settled is true when nothing of a rollout has to be remembered in rows.
func (p *planner) settled() bool {
	return p.Rollout == nil || p.status.Phase == v1.RolloutCompleted
}

// wakeAt asks for another look at a time.
func (p *planner) wakeAt(t time.Time) {
	if t.After(p.now.Time) && (p.wake.IsZero() || t.Before(p.wake)) {
		p.wake = t
	}
}

// stamp is a time to record that nothing which is counted from it comes early by: an API
// server keeps whole seconds.
func (p *planner) stamp() *metav1.Time {
	t := metav1.NewTime(p.now.Add(time.Second - time.Nanosecond).Truncate(time.Second))
	return &t
}

// say is why the rollout stands where it does.
func (p *planner) say(reason, message string) {
	if runes := []rune(message); len(runes) > longestMessage {
		message = string(runes[:longestMessage-1]) + "…"
	}
	p.status.Reason, p.status.Message = reason, message
}

// longestMessage is what the status admits, in characters.
const longestMessage = 1024

// answered is true if a person has given an answer.
func (p *planner) answered(answer string) bool { return slices.Contains(p.Answers, answer) }

// recorded is the status to write: the persisted one itself if nothing changed.
func (p *planner) recorded() *v1.RolloutStatus {
	if p.Status != nil && SameStatus(p.Status, &p.status) {
		return p.Status
	}
	return &p.status
}

// SameStatus is true if there is nothing to write. A time can be equal and yet look different.
func SameStatus(a, b *v1.RolloutStatus) bool {
	if a == nil || b == nil || a == b {
		return a == b
	}
	return equality.Semantic.DeepEqual(a, b)
}

// named lists members for a message.
func named(names []string) string { return placement.FirstOf(names, 3) }
