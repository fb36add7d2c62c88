package placement

import (
	"cmp"
	"slices"
	"time"

	v1 "github.com/example/myapp-hub/api/v1"
)

const (
	// fewestSilent and silentPercent are when the hub thinks that it is cut off itself: at
	// least so many members are silent, and more than that part of all. The part is that at
	// which Kubernetes' node life cycle stops evicting from a zone.
	fewestSilent  = 3
	silentPercent = 55
)

// evict takes the app off members whose taints it does not tolerate any longer, no more
// of them at one time than the budget says. A member that does not answer is only put
// last: choose leaves it if another can take over.
func (p *plan) evict() {
	p.cutOff = CutOff(p.in.Members)
	due := p.due()
	if len(due) == 0 {
		return
	}
	underWay := 0 // which nobody is asked about again
	for _, i := range due {
		p.candidates[i].rank.due = true
		if p.candidates[i].leaving() {
			underWay++
		}
	}
	allowed := max(p.budget(), underWay)
	if rest := p.namesOf(due[min(allowed, len(due)):]); len(rest) > 0 {
		plan := planHash(p.in, v1.ReasonEvictionBudget, rest)
		if p.in.Acknowledged == plan {
			allowed = len(due)
		} else {
			p.waiting = rest
			p.asks = Question{
				Reason: v1.ReasonEvictionBudget, Plan: plan, Clusters: rest,
				Message: "the app is to leave " + count(len(rest), "more member", "more members") + " than spec.failover.budgetPercent allows at one time (" + some(rest) +
					"). They follow when the first have been left; to have them left at once: " + ackCommand(p.in, plan),
			}
		}
	}
	for _, i := range due[:min(allowed, len(due))] {
		c := &p.candidates[i]
		if c.evicted.Key == v1.TaintUnreachable {
			c.rank.lastResort = true
			continue
		}
		c.decide(Remove, v1.ReasonEvicted, evictionMessage(c.name, c.evicted))
		c.gentle = true
	}
}

// due are the placed members whose time is over: those that are being left already
// first, then those that have been due for the longest.
func (p *plan) due() []int {
	var due []int
	for i := range p.candidates {
		c := &p.candidates[i]
		if c.decided || !c.placed {
			continue
		}
		if c.strain.silence != nil && (c.member.Ready || p.cutOff || !p.in.Rules.takesOver()) {
			c.strain.silence = nil
		}
		if c.evicted = c.strain.first(); c.evicted == nil {
			continue
		}
		c.evictAt = c.strain.until(c.evicted)
		if c.evictAt.After(p.in.Now) {
			p.wakeAt(c.evictAt)
			c.evicted = nil
			continue
		}
		due = append(due, i)
	}
	slices.SortFunc(due, func(a, b int) int {
		x, y := &p.candidates[a], &p.candidates[b]
		return cmp.Or(first(x.leaving(), y.leaving()), x.evictAt.Compare(y.evictAt), cmp.Compare(a, b))
	})
	return due
}

// budget is how many more members may be left now. Those that are being left count until
// they are, and that of a silent member does for as long as it is silent.
func (p *plan) budget() int {
	rows, underWay := 0, 0
	for i := range p.candidates {
		c := &p.candidates[i]
		if c.row == nil || c.stray {
			continue
		}
		rows++
		if c.row.State == v1.PlacementRemoving && c.row.Reason == v1.ReasonEvicted {
			underWay++
		}
	}
	return max(0, max(1, rows*int(p.in.Rules.failover.budgetPercent)/100)-underWay)
}

// CutOff is true if so many members are silent that the hub may be the one who is. Members
// that have never answered do not count.
func CutOff(members []Member) bool {
	silent, all := 0, 0
	for i := range members {
		m := &members[i]
		if !m.Accepted || m.Leaving != "" {
			continue
		}
		switch {
		case m.Ready:
			all++
		case slices.ContainsFunc(m.Taints, func(t Taint) bool { return t.Key == v1.TaintUnreachable }):
			all++
			silent++
		}
	}
	return silent > 0 && (silent == all || silent >= fewestSilent && silent*100 > all*silentPercent)
}

// leaving is true once it is on record that the app leaves the member when others are
// ready.
func (c *candidate) leaving() bool { return c.row != nil && c.row.State == v1.PlacementLeaving }

func (p *plan) namesOf(list []int) []string {
	names := make([]string, 0, len(list))
	for _, i := range list {
		names = append(names, p.candidates[i].name)
	}
	slices.Sort(names)
	return names
}

// gently lets nobody go before those that take over are ready, for no longer than the grace
// period: neither a whole member nor, where replicas are divided, some of its pods.
func (p *plan) gently() {
	grace := seconds(p.in.Rules.failover.graceSeconds)
	h := p.handover(grace)
	for i := range p.candidates {
		c := &p.candidates[i]
		if !c.placed {
			continue
		}
		switch {
		case c.verdict.Outcome == Remove && c.gentle:
			since, waits := p.in.Now, h.short && h.replacing
			if c.leaving() {
				since, waits = c.row.LastTransitionTime.Time, h.short
			}
			// Who is silent carries no order out, and may be back before the others are ready.
			until := since.Add(grace)
			if waits && until.After(p.in.Now) || p.cutOff && !c.member.answers() {
				c.verdict.Outcome = Leave
				p.wakeAt(until)
			}
		case c.verdict.Outcome == Run && p.in.Rules.divided && c.wants < c.row.Replicas && c.member.answers():
			if h.short && h.replacing && h.until.After(p.in.Now) {
				c.verdict.Replicas = c.row.Replicas
				p.wakeAt(h.until)
			}
		}
	}
}

func (m *Member) answers() bool { return m != nil && m.Ready }

// handover is how far those that run the app are.
type handover struct {
	// short is true while fewer pods are ready than wanted, replacing while a member is to
	// get the app or more of it.
	short, replacing bool
	// until is for how long those are waited for.
	until time.Time
}

func (p *plan) handover(grace time.Duration) handover {
	var h handover
	for i := range p.candidates {
		c := &p.candidates[i]
		if c.verdict.Outcome != Run {
			continue
		}
		since := p.in.Now
		if c.placed && c.row.Replicas >= c.wants {
			since = c.row.LastTransitionTime.Time
		}
		h.short = h.short || !c.meets()
		if c.grows(p.in.Rules) {
			h.replacing = true
			if until := since.Add(grace); until.After(h.until) {
				h.until = until
			}
		}
	}
	return h
}

// meets is true if a member has as many ready pods as it is wanted to.
func (c *candidate) meets() bool {
	if !c.placed || !c.member.answers() {
		return false
	}
	return c.row.ReadyReplicas >= c.wants && (c.row.State == v1.PlacementReady || c.row.Replicas > c.wants)
}

// grows is true for a member that is to get the app or more of it. Where members take over
// from each other it is true, too, of one that is about to have it.
func (c *candidate) grows(r *Rules) bool {
	return !c.placed || r.divided && c.row.Replicas < c.wants ||
		r.takesOver() && c.row.Replicas <= c.wants && (c.row.State == v1.PlacementPending || c.row.State == v1.PlacementProgressing)
}
