package rollout

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/example/myapp-hub/api/v1"
)

// Answers that a person can give to a rollout, each followed by a hash.
const (
	// answerStart lets a step begin, answerApprove lets it end.
	answerStart, answerApprove = "start-", "approve-"
	// answerResume accepts failures.
	answerResume = "resume-"
	// AnswerPromote skips what a step still waits for, but for its members.
	AnswerPromote = "promote-"
)

// PromoteAll is the answer that skips what all steps wait for.
func PromoteAll(s *v1.RolloutStatus) string {
	return AnswerPromote + hash(s.Revision, fmt.Sprint(s.Generation))
}

// judge finds the members on which the revision has failed, and stops if they are too many.
func (p *planner) judge() {
	if p.status.Phase == v1.RolloutPaused && p.answered(p.status.Asks) {
		p.status.AcceptedFailures = append(p.status.AcceptedFailures, p.status.FailedClusters...)
		if p.status.Reason == v1.ReasonGateFailed && p.status.CurrentStep != nil {
			p.status.CurrentStep.GatesPassed = true
		}
		p.say(v1.ReasonRollingOut, "a person has accepted that "+p.status.Message)
		p.status.FailedClusters, p.status.Asks, p.status.Phase = nil, "", v1.RolloutProgressing
		p.status.FailedRevisions = slices.DeleteFunc(p.status.FailedRevisions, func(r string) bool { return r == p.Revision })
	}
	if p.status.Phase != v1.RolloutProgressing {
		return
	}
	var failed []string
	said := ""
	for i := range p.members {
		m := &p.members[i]
		why := p.failure(m)
		if why == "" {
			continue
		}
		m.failed = true
		if !slices.Contains(p.status.AcceptedFailures, m.name) {
			if failed = append(failed, m.name); said == "" {
				said = m.name + ": " + why
			}
		}
	}
	if len(failed) > p.Rules.maxFailures && !p.returns() {
		p.fail(v1.ReasonRolloutFailed, failed, fmt.Sprintf("%s has failed on %s; %s", p.Revision, named(failed), said))
	}
	if p.status.Phase != v1.RolloutProgressing { // They may not have failed, and count.
		for i := range p.members {
			p.members[i].failed = false
		}
	}
}

// failure says why the current revision has failed on a member; empty if it has not.
func (p *planner) failure(m *member) string {
	if !m.on(p.Revision) || m.silent() || m.ready() || m.row.State == v1.PlacementLeaving {
		return ""
	}
	if !m.heard && m.row.State == v1.PlacementReady {
		return "" // It was ready when it was last heard of.
	}
	if m.heard && m.row.State == v1.PlacementFailed {
		return m.row.Message
	}
	step := &p.steps[m.step]
	begun := latest(m.row.LastTransitionTime.Time, timeOf(m.row.RevisionTime), timeOf(p.status.ResumedTime), p.Since)
	ends := begun.Add(step.deadline)
	why := "no progress"
	if !m.heard {
		why = "it has not said what became of it"
	}
	// One that is ready now and then would never be late.
	if s := p.status.CurrentStep; s != nil && s.Hash == step.hash && s.FirstReadyTime != nil && m.down() {
		if flaps := latest(s.FirstReadyTime.Time, timeOf(p.status.ResumedTime), p.Since).Add(step.soak + step.deadline); flaps.Before(ends) {
			ends, why = flaps, "it does not stay ready"
		}
	}
	if p.now.Time.Before(ends) {
		p.wakeAt(ends)
		return ""
	}
	return fmt.Sprintf("%s for %s: %s", why, step.deadline, m.row.Message)
}

// fail does what the spec says for a rollout that has failed.
func (p *planner) fail(reason string, members []string, message string) {
	switch p.Rules.onFailure {
	case v1.RolloutContinue:
		return
	case v1.RolloutRollback:
		p.status.Phase, p.status.Asks = v1.RolloutRollingBack, ""
	default:
		p.status.Phase = v1.RolloutPaused
		p.status.Asks = answerResume + hash(append([]string{p.Revision, fmt.Sprint(p.status.Generation), reason}, members...)...)
		if reason == v1.ReasonGateFailed {
			p.status.Asks += "-" + p.status.CurrentStep.Hash
		}
	}
	p.status.FailedClusters = members
	if !slices.Contains(p.status.FailedRevisions, p.Revision) {
		p.status.FailedRevisions = append(p.status.FailedRevisions, p.Revision)
	}
	p.say(reason, message)
}

// advance takes the steps that are done off, and says what the next one waits for.
func (p *planner) advance() {
	for p.status.Phase == v1.RolloutProgressing {
		next := slices.IndexFunc(p.steps, func(s step) bool { return !slices.Contains(p.status.CompletedSteps, s.hash) })
		if next < 0 {
			p.complete()
			return
		}
		s := &p.steps[next]
		if is := p.status.CurrentStep; is == nil || is.Hash != s.hash {
			p.status.CurrentStep = &v1.RolloutStepStatus{Name: s.name, Number: int32(next + 1), Total: int32(len(p.steps)), Hash: s.hash} //nolint:gosec // there are 17 steps at the most
		}
		asked := p.status.Asks
		p.status.Asks = ""
		if !p.started(s) || !p.done(s) {
			if p.unheard {
				p.status.Asks = asked
			}
			return
		}
		p.status.CompletedSteps = append(p.status.CompletedSteps, s.hash)
		p.status.CurrentStep = nil
	}
}

// skips is true for a step of which nothing but its members is waited for: nothing is to be
// proved, or a person said so.
func (p *planner) skips(s *step) bool {
	return p.returns() || p.unchanged(s) || p.answered(AnswerPromote+s.hash) || p.answered(PromoteAll(&p.status))
}

// unchanged is true for a step whose members all have a revision that means the same for them
// as the one before.
func (p *planner) unchanged(s *step) bool {
	for _, m := range s.members {
		if p.Same == nil || !m.on(p.Revision) || m.row.PreviousRevision == "" || !p.Same(m.name, m.row.PreviousRevision) {
			return false
		}
	}
	return len(s.members) > 0
}

// started is true once the members of a step may be updated.
func (p *planner) started(s *step) bool {
	is := p.status.CurrentStep
	if !is.Started && s.approval == v1.ApprovalRequiredBefore && !p.skips(s) && !p.answered(answerStart+s.hash) {
		p.status.Asks = answerStart + s.hash
		p.say(v1.ReasonAwaitingApproval, p.title(s)+" waits for a person to approve that it begins")
		return false
	}
	is.Started = true
	return true
}

// done is true once a step waits for nothing more.
func (p *planner) done(s *step) bool {
	if waits, done := p.waits(s); !done {
		if p.unheard = waits == ""; !p.unheard {
			p.say(v1.ReasonAwaitingMembers, p.title(s)+" "+waits)
		}
		return false
	}
	is := p.status.CurrentStep
	if p.skips(s) {
		return true
	}
	if s.soak > 0 || len(s.gates) > 0 {
		is.Decisions = decisions(s)
		if is.ReadyTime == nil {
			is.ReadyTime = p.stamp()
		}
		if is.FirstReadyTime == nil {
			is.FirstReadyTime = is.ReadyTime
		}
	}
	if s.soak > 0 {
		if ends := is.ReadyTime.Add(s.soak); p.now.Time.Before(ends) {
			p.wakeAt(ends)
			p.say(v1.ReasonSoaking, fmt.Sprintf("%s is ready and soaks until %s", p.title(s), ends.UTC().Format(time.RFC3339)))
			return false
		}
	}
	if !p.pass(s) {
		return false
	}
	if s.approval == v1.ApprovalRequired && !p.answered(answerApprove+s.hash) {
		p.status.Asks = answerApprove + s.hash
		p.say(v1.ReasonAwaitingApproval, p.title(s)+" is ready and waits for a person to approve it")
		return false
	}
	return true
}

// waits says which members of a step are waited for. Those that do not answer are not, if
// any other shows that the revision works, nor are those on which it may have failed. It
// says nothing new while all that is missing is that they are heard again.
func (p *planner) waits(s *step) (says string, done bool) {
	seen := p.survey(s)
	switch {
	case seen.unheard > 0 && seen.unheard == len(seen.updating):
		return "", false
	case len(seen.updating) > 0:
		return fmt.Sprintf("has %s ready on %d of %d members, and waits for %s", p.Revision, seen.ready, len(s.members), named(seen.updating)), false
	case len(seen.silent) > 0 && !seen.proved && !p.skips(s):
		return "waits for one of its members to answer: " + named(seen.silent), false
	}
	return "", true
}

// survey is what the members of a step are like.
type survey struct {
	// updating are to become ready, silent do not answer.
	updating, silent []string
	// ready is how many are, and unheard how many would be if they were heard of.
	ready, unheard int
	// broken is true if any says that it is not ready.
	broken bool
	// proved is true if it is known of any how the revision does there.
	proved bool
}

func (p *planner) survey(s *step) (seen survey) {
	for _, m := range s.members {
		switch {
		case m.silent():
			seen.silent = append(seen.silent, m.name)
			continue
		case m.on(p.Revision) && m.failed:
			seen.proved = true
			continue
		case m.on(p.Revision) && m.ready():
			seen.proved = true
			seen.ready++
			continue
		case m.on(p.Revision) && !m.heard && m.row.State == v1.PlacementReady:
			seen.unheard++
		}
		seen.updating = append(seen.updating, m.name)
		seen.broken = seen.broken || m.heard
	}
	// Neither a member that is being scaled nor one that is new begins the soak again.
	if is := p.status.CurrentStep; seen.broken && is.Decisions == decisions(s) || len(seen.silent) > 0 && !seen.proved {
		is.ReadyTime, is.GatesPassed = nil, false
	}
	return seen
}

// decisions is the sum of the decision numbers of a step's members.
func decisions(s *step) (sum int64) {
	for _, m := range s.members {
		if m.has() {
			sum += m.row.Decision
		}
	}
	return sum
}

// pass is true once all gates have held. All are asked at once, or those that come later
// would be late. One that does not hold in time is a failure.
func (p *planner) pass(s *step) bool {
	is, open := p.status.CurrentStep, 0
	if is.GatesPassed {
		return true
	}
	for i := range s.gates {
		g := &s.gates[i]
		holds, why := p.holds(s, g)
		if holds {
			continue
		}
		begun := latest(is.ReadyTime.Add(s.soak), timeOf(p.status.ResumedTime), p.Since)
		if ends := begun.Add(g.timeout); p.now.Time.Before(ends) {
			p.wakeAt(ends)
			if open++; open == 1 {
				p.say(v1.ReasonAwaitingGate, fmt.Sprintf("%s waits for gate %s, which %s", p.title(s), g.name, why))
			}
			continue
		}
		p.fail(v1.ReasonGateFailed, nil, fmt.Sprintf("gate %s of step %s has not passed in %s: it %s", g.name, s.name, g.timeout, why))
		if p.status.Phase != v1.RolloutProgressing {
			return false
		}
	}
	is.GatesPassed = open == 0 && len(s.gates) > 0
	return open == 0
}

// holds is true if a gate holds now; otherwise it says why not.
func (p *planner) holds(s *step, g *gate) (holds bool, why string) {
	facts, values := p.facts(s), []float64{0}
	if q := g.question; q.Address != "" {
		q.Step = s.hash
		p.questions = append(p.questions, q)
		is := Measured{Problem: "this hub asks no Prometheus"}
		if p.Measured != nil {
			is = p.Measured(q)
		}
		if values = is.Values; len(values) < q.Count {
			if is.Problem != "" {
				return false, "cannot be told: " + is.Problem
			}
			return false, fmt.Sprintf("needs %d answers in a row", q.Count)
		}
	}
	for _, facts.Value = range values {
		ok, err := g.condition.Holds(facts)
		switch {
		case err != nil:
			return false, "cannot be told: " + err.Error()
		case !ok:
			return false, "does not hold"
		}
	}
	return true, ""
}

// facts are what gates see.
func (p *planner) facts(s *step) Facts {
	var f Facts
	for i := range p.members {
		m := &p.members[i]
		if !m.has() {
			continue
		}
		count(&f.Summary, m, p.Revision)
		if p.steps[m.step].hash == s.hash {
			count(&f.Step, m, p.Revision)
		}
	}
	return f
}

func count(s *v1.Summary, m *member, revision string) {
	s.Clusters++
	s.TotalReplicas += m.row.Replicas
	if m.silent() {
		s.Unknown++
		s.UnknownReplicas += m.row.Replicas
		return
	}
	s.ReadyReplicas += m.row.ReadyReplicas
	if m.on(revision) && m.row.Updated {
		s.Updated++
		if m.ready() {
			s.Ready++
		}
	}
}

// complete ends a rollout. What is ready nowhere, as when it was to go on in spite of
// failures, is not what others go back to.
func (p *planner) complete() {
	stable, failed := p.status.StableRevision, p.status.FailedRevisions
	if stable == "" || slices.ContainsFunc(p.members, func(m member) bool { return m.on(p.Revision) && m.ready() }) {
		if stable != p.Revision {
			stable, failed = p.Revision, nil
		}
	}
	p.status = v1.RolloutStatus{
		Revision: p.Revision, StableRevision: stable, FailedRevisions: failed, Phase: v1.RolloutCompleted, Generation: p.status.Generation,
		Reason: v1.ReasonRolloutCompleted, Message: "all steps are done",
	}
}

// title names a step for a person.
func (p *planner) title(s *step) string {
	members := ""
	if len(s.members) == 0 {
		members = ", which has no members,"
	}
	return fmt.Sprintf("step %s (%d of %d)%s", s.name, p.status.CurrentStep.Number, len(p.steps), members)
}

func timeOf(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

func latest(times ...time.Time) time.Time {
	return slices.MaxFunc(times, func(a, b time.Time) int { return a.Compare(b) })
}
