package rollout

import (
	"fmt"
	"slices"
	"time"

	v1 "github.com/example/myapp-hub/api/v1"
)

// assign says which revision each member is to have now.
func (p *planner) assign() {
	a := &assignment{planner: p, updating: make([]int, len(p.steps))}
	for i := range p.members {
		m := &p.members[i]
		if a.counts(m) {
			a.updating[m.step]++
		}
		m.revision = p.status.StableRevision
		if m.has() {
			m.revision = m.row.Revision
		}
	}
	if a.back() {
		a.rollBack()
	} else {
		a.rollOut()
	}
}

// assignment gives members revisions, within budgets.
type assignment struct {
	*planner
	// updating is how many members of each step are being updated.
	updating []int
	moved    int
	// blocked are members that may not be updated now because of others, shut is how many
	// may not because no window is open, and dependency says what another one waits for.
	blocked    []string
	shut       int
	dependency string
}

// counts is true for a member that is being updated. On the way back those that were not
// are no more: they go back whatever the budget.
func (a *assignment) counts(m *member) bool {
	return a.underWay(m) && !(a.back() && m.on(a.Revision))
}

// back is true when the revision is taken back.
func (a *assignment) back() bool {
	return a.status.Phase == v1.RolloutRollingBack || a.status.Phase == v1.RolloutRolledBack
}

// underWay is true for a member that was told another revision and is not ready with it: it
// counts against maxConcurrent.
func (a *assignment) underWay(m *member) bool {
	return m.has() && m.row.RevisionTime != nil && !m.silent() && !m.ready() && !m.failed
}

// reached is true for a step whose members may have the revision.
func (a *assignment) reached(s *step) bool {
	is := a.status.CurrentStep
	return a.status.Phase == v1.RolloutCompleted || a.returns() || slices.Contains(a.status.CompletedSteps, s.hash) ||
		a.status.Phase == v1.RolloutProgressing && is != nil && is.Hash == s.hash && is.Started
}

// rollOut gives the revision to members of the steps that are reached. Others stay as they
// are, but for what is known to be bad.
func (a *assignment) rollOut() {
	open, opens := a.Rules.open(a.now.Time)
	for i := range a.steps {
		reached := a.reached(&a.steps[i])
		for _, m := range a.steps[i].members {
			switch {
			case a.same(m):
				m.revision = a.Revision // Nothing changes there: that is no step.
			case reached && !m.on(a.Revision):
				a.update(m, open)
			case !reached && a.gives(m) && (m.silent() || m.heard && !m.ready() || a.mayMove(m)):
				a.goBack(m)
			}
		}
	}
	if a.shut > 0 {
		a.wakeAt(opens)
	}
	if a.status.Phase != v1.RolloutPaused && a.moved == 0 && !a.busy() && a.status.Asks == "" {
		a.explain(opens)
	}
}

// explain says why nobody is being updated, if it is not for the members of the step.
func (a *assignment) explain(opens time.Time) {
	switch {
	case a.status.Phase == v1.RolloutCompleted && a.shut == 0 && a.dependency == "" && len(a.blocked) == 0:
		a.complete()
	case a.shut > 0 && opens.IsZero():
		a.say(v1.ReasonOutsideWindow, "members wait for a change window, and none opens any more")
	case a.shut > 0:
		a.say(v1.ReasonOutsideWindow, "members wait for the next change window at "+opens.UTC().Format(time.RFC3339))
	case a.dependency != "":
		a.say(v1.ReasonAwaitingDependency, a.dependency)
	case len(a.blocked) > 0:
		a.say(v1.ReasonMaxUnavailable, fmt.Sprintf("%s may not be updated while %s not ready: spec.rollout.maxUnavailable allows %d of %d members to be so",
			named(a.blocked), are(a.unready), a.most, a.placed))
	}
}

// gives is true for a member that is to give up what it has before its step is reached: it
// has failed before, or has never become ready here, and would hold up the others for ever.
func (a *assignment) gives(m *member) bool {
	switch {
	case !m.has() || m.on(a.Revision) || m.on(a.status.StableRevision):
		return false
	case slices.Contains(a.status.FailedRevisions, m.row.Revision):
		return true
	}
	return a.underWay(m) && a.overdue(m)
}

// update gives a member of a step that is reached the revision, if nothing keeps it from it.
func (a *assignment) update(m *member, open bool) {
	switch {
	case m.waits != "":
		a.dependency = m.waits
	case a.status.Phase == v1.RolloutPaused || m.silent():
	case !m.has():
		m.revision = a.Revision // Nothing is updated: it is new here.
	case !open:
		a.shut++
	case a.mayMove(m):
		a.move(m, a.Revision)
	}
}

// same is true for a member that has another revision which means the same for it.
func (a *assignment) same(m *member) bool {
	return a.Same != nil && m.has() && !m.on(a.Revision) && m.waits == "" && a.status.Phase == v1.RolloutProgressing && a.Same(m.name, m.row.Revision)
}

func are(names []string) string {
	if len(names) == 1 {
		return names[0] + " is"
	}
	return named(names) + " are"
}

// busy is true while members are being updated to the revision.
func (a *assignment) busy() bool {
	return slices.ContainsFunc(a.members, func(m member) bool { return m.on(a.Revision) && a.underWay(&m) })
}

// mayMove is true for a member that the budgets let be updated now. An update of one that is
// ready may make it unready. One that is unready already, but has ready pods, is not taken
// for one that has nothing to lose.
func (a *assignment) mayMove(m *member) bool {
	if m.down() {
		return a.concurrent(m)
	}
	if !m.heard {
		return false // It was just told something, or this process has not heard of it yet.
	}
	if m.ready() && len(a.unready) >= a.most || a.others(m) >= a.most {
		a.blocked = append(a.blocked, m.name)
		return false
	}
	return a.concurrent(m)
}

// concurrent is true if so few members of its step are being updated that the member may be,
// too.
func (a *assignment) concurrent(m *member) bool {
	s, others := &a.steps[m.step], a.updating[m.step]
	if a.counts(m) {
		others--
	}
	return s.concurrent == nil || others < of(s.concurrent, len(s.members))
}

// others is how many members are being updated beside one.
func (a *assignment) others(m *member) int {
	n := 0
	for _, updating := range a.updating {
		n += updating
	}
	if a.counts(m) {
		n--
	}
	return n
}

// move gives a member another revision.
func (a *assignment) move(m *member, revision string) {
	m.revision = revision
	a.moved++
	if !a.counts(m) && !m.silent() {
		a.updating[m.step]++
	}
	if m.ready() {
		a.unready = append(a.unready, m.name)
	}
}

// rollBack takes the revision back where it is, the last step first, and gives it to nobody.
// Those where it does not work go back at once, and so do those that do not answer, or it
// would come up there first; others wait until those before them are ready again.
func (a *assignment) rollBack() {
	left, waits := 0, false
	for i := range a.members {
		switch m := &a.members[i]; {
		case a.useless(m):
			a.goBack(m)
		case !m.on(a.Revision) && !a.late(m) && a.underWay(m):
			waits = true
		}
	}
	for _, s := range slices.Backward(a.steps) {
		turn := left == 0
		for _, m := range slices.Backward(s.members) {
			switch {
			case !m.on(a.Revision) || m.revision != a.Revision:
			case turn && m.heard && a.others(m) < a.most && a.concurrent(m):
				a.goBack(m)
			default:
				left++
			}
		}
	}
	if left == 0 && a.moved == 0 && !waits {
		a.status.Phase = v1.RolloutRolledBack
	}
}

// useless is true for a member that has the revision and is not known to be ready with it.
func (a *assignment) useless(m *member) bool {
	return m.on(a.Revision) && !m.ready() && (m.silent() || m.heard || m.row.State != v1.PlacementReady && a.overdue(m))
}

// late is true for a member that has gone back and is not ready there in time: it is not
// waited for.
func (a *assignment) late(m *member) bool {
	if !a.underWay(m) || !a.overdue(m) {
		return false
	}
	a.updating[m.step]--
	return true
}

// overdue is true for a member that has had the time of its step to become ready.
func (p *planner) overdue(m *member) bool {
	ends := latest(timeOf(m.row.RevisionTime), timeOf(p.status.ResumedTime), p.Since).Add(p.steps[m.step].deadline)
	if m.row.State != v1.PlacementFailed && p.now.Time.Before(ends) {
		p.wakeAt(ends)
		return false
	}
	return true
}

// goBack gives a member the last revision that was ready there.
func (a *assignment) goBack(m *member) {
	to := m.row.PreviousRevision
	if to == "" || slices.Contains(a.status.FailedRevisions, to) {
		to = a.status.StableRevision
	}
	a.move(m, to)
}
