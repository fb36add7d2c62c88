package placement

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	v1 "github.com/example/myapp-hub/api/v1"
)

// Explanation is why a member runs an app or not, and what would change that.
type Explanation struct {
	Verdict
	// Share says where the number of replicas comes from; empty where they are not divided.
	Share string
	// Changes are the fewest changes that would make the member run the app, in the order
	// in which they are needed. They have been tried out.
	Changes []string
	// Otherwise says, if no change is known that would, what stands against it.
	Otherwise string
}

// mostChanges is how many changes are looked for.
const mostChanges = 8

// Explain looks at one member.
func Explain(in Input, cluster string) (Explanation, bool) {
	p := planOf(&in)
	i := slices.IndexFunc(p.candidates, func(c candidate) bool { return c.name == cluster })
	if i < 0 {
		return Explanation{}, false
	}
	e := Explanation{Verdict: p.candidates[i].verdict, Share: p.share(i)}
	if e.Outcome == Run {
		return e, true
	}
	what := trial{in: in, cluster: cluster}
	for v := e.Verdict; v.Outcome != Run; {
		said, ok := what.change(&v)
		if !ok || len(e.Changes) == mostChanges {
			e.Changes, e.Otherwise = nil, v.Message
			return e, true
		}
		e.Changes = append(e.Changes, said)
		v = what.verdict()
	}
	return e, true
}

// share says why a member runs so many pods.
func (p *plan) share(i int) string {
	c, r := &p.candidates[i], p.in.Rules
	if c.verdict.Outcome != Run || !r.divided {
		return ""
	}
	if c.verdict.Replicas != c.wants {
		return fmt.Sprintf("%d for now, and %d when those that take over are ready", c.verdict.Replicas, c.wants)
	}
	total, weights, members := p.toDivide(), int64(0), 0
	for j := range p.candidates {
		if o := &p.candidates[j]; o.verdict.Outcome == Run {
			members++
			weights += p.shareOf(o, total).weight
		}
	}
	s := p.shareOf(c, total)
	text := fmt.Sprintf("%d of %d replicas on %d members", c.wants, total, members)
	if r.division == v1.DivideWeighted || r.division == v1.DivideFreeCapacity {
		text += fmt.Sprintf(", weight %d of %d", s.weight, weights)
	}
	if s.least > 0 {
		text += fmt.Sprintf(", at least %d", s.least)
	}
	if s.most < total {
		text += fmt.Sprintf(", at most %d", s.most)
	}
	return text
}

// trial is an input that changes are tried out on.
type trial struct {
	in      Input
	cluster string
	// tried are the reasons against which a change of labels did not help.
	tried []string
}

func (t *trial) verdict() Verdict {
	for _, v := range Schedule(t.in).Verdicts {
		if v.Cluster == t.cluster {
			return v
		}
	}
	return Verdict{}
}

// member is the trial's own copy of the member.
func (t *trial) member() *Member {
	t.in.Members = slices.Clone(t.in.Members)
	i := slices.IndexFunc(t.in.Members, func(m Member) bool { return m.Name == t.cluster })
	if i < 0 {
		return nil
	}
	m := &t.in.Members[i]
	m.Taints = slices.Clone(m.Taints)
	return m
}

// rules are the trial's own copy of the rules.
func (t *trial) rules() *Rules {
	t.in.Rules = t.in.Rules.copy()
	return t.in.Rules
}

// change makes the change that takes a reason away, and says it.
func (t *trial) change(v *Verdict) (string, bool) {
	if said, ok := t.changeApp(v); ok {
		return said, true
	}
	m := t.member()
	if m == nil {
		return "", false
	}
	switch v.Reason {
	case v1.ReasonMemberLeaving:
		m.Leaving = ""
		return "take spec.leave out of MemberCluster " + m.Name, true
	case v1.ReasonNamespaceNotAllowed:
		m.Namespaces, m.NamespacesInvalid = nil, ""
		return "let spec.allowedNamespaces of MemberCluster " + m.Name + " choose the app's namespace", true
	case v1.ReasonNotAccepted:
		m.Accepted = true
		return "accept the member: kubectl myapp accept " + m.Name, true
	case v1.ReasonNoneReady:
		answer(m)
		return m.Name + " answers", true
	case v1.ReasonKindMissing:
		missing := m.missing(t.in.Needs)
		m.APIs = slices.Sorted(slices.Values(append(slices.Clone(m.APIs), missing)))
		return m.Name + " serves " + missing, true
	case v1.ReasonNoCapacity:
		return t.makeRoom(m)
	case v1.ReasonTaintNotTolerated, v1.ReasonEvicted:
		return t.tolerate(m, v)
	}
	return t.match(v, m)
}

// changeApp changes what is not about one member.
func (t *trial) changeApp(v *Verdict) (string, bool) {
	switch v.Reason {
	case v1.ReasonPaused:
		t.in.Paused = false
		return "set spec.paused to false", true
	case v1.ReasonQuotaExceeded:
		t.in.Exceeded = ""
		return "raise the PlacementQuota of the namespace", true
	case v1.ReasonAwaitingAck:
		plan := Schedule(t.in).Question.Plan
		t.in.Acknowledged = plan
		return "acknowledge the plan: " + ackCommand(&t.in, plan), plan != ""
	case v1.ReasonNotNeeded:
		return t.raiseNumber()
	case v1.ReasonNoReplicas:
		return t.raiseReplicas()
	}
	return "", false
}

func answer(m *Member) {
	m.Ready = true
	m.Taints = slices.DeleteFunc(m.Taints, func(t Taint) bool { return t.Key == v1.TaintUnreachable })
}

func (t *trial) makeRoom(m *Member) (string, bool) {
	if m.Free == nil {
		return "", false
	}
	pods := t.in.atLeast(m.Name)
	lacks := t.in.lacks(m, pods)
	given := t.in.Reserved[m.Name]
	free := *m.Free
	free.CPUMillis = max(free.CPUMillis, t.in.Pod.CPUMillis*pods+given.CPUMillis)
	free.MemoryMiB = max(free.MemoryMiB, t.in.Pod.MemoryMiB*pods+given.MemoryMiB)
	free.Pods = max(free.Pods, pods+given.Pods)
	m.Free = &free
	return m.Name + " has " + lacks, lacks != ""
}

// tolerate makes the app tolerate the taint that is in its way.
func (t *trial) tolerate(m *Member, v *Verdict) (string, bool) {
	s := t.in.Rules.strainOf(m, t.in.LeaderSince)
	taint := s.repels
	if v.Reason == v1.ReasonEvicted {
		if taint = s.evicts; s.silence != nil && v.Message == evictionMessage(m.Name, s.silence) {
			taint = s.silence
		}
	}
	if taint == nil {
		return "", false
	}
	if taint.Key == v1.TaintUnreachable {
		answer(m)
		return m.Name + " answers", true
	}
	said := describe(taint)
	r := t.rules()
	// With a limit on how long it is tolerated the shortest counts.
	r.tolerations = slices.DeleteFunc(slices.Clone(r.tolerations), func(is v1.Toleration) bool {
		return is.TolerationSeconds != nil && tolerates(&is, taint)
	})
	r.tolerations = append(r.tolerations, v1.Toleration{Key: taint.Key, Operator: v1.TolerationExists, Effect: taint.Effect})
	return "tolerate " + strings.TrimPrefix(said, "the taint ") + " for ever", true
}

// match changes names and labels.
func (t *trial) match(v *Verdict, m *Member) (string, bool) {
	if slices.Contains(t.tried, v.Reason) {
		return "", false // the requirements contradict each other
	}
	t.tried = append(t.tried, v.Reason)
	switch v.Reason {
	case v1.ReasonNameMismatch:
		r := t.rules()
		r.names = sorted(append(slices.Clone(r.names), m.Name))
		return "add " + m.Name + " to spec.placement.clusterNames", true
	case v1.ReasonNotChosen:
		return relabel(m, t.in.Rules.selector)
	case v1.ReasonTopologyMissing:
		key := t.in.Rules.topologyMissing(m)
		label(m, key, "any")
		return "give " + m.Name + " the label " + key, true
	case v1.ReasonNoGroup:
		r := t.rules()
		r.groups = slices.Clone(r.groups)
		g := &r.groups[len(r.groups)-1]
		var parts []string
		if !listed(g.names, m.Name) {
			g.names = sorted(append(slices.Clone(g.names), m.Name))
			parts = append(parts, "add "+m.Name+" to the clusterNames of group "+g.name)
		}
		if said, ok := relabel(m, g.selector); ok {
			parts = append(parts, said)
		}
		return strings.Join(parts, " and "), len(parts) > 0
	}
	return "", false
}

// raiseNumber finds the smallest numberOfClusters that includes the member.
func (t *trial) raiseNumber() (string, bool) {
	was := t.in.Rules.number
	if was == 0 {
		return "", false // an earlier group holds the app
	}
	r := t.rules()
	n := sort.Search(len(t.in.Members)-was, func(n int) bool {
		r.number = was + 1 + n
		return t.verdict().Reason != v1.ReasonNotNeeded
	})
	r.number = was + 1 + n
	return fmt.Sprintf("raise spec.placement.numberOfClusters from %d to %d", was, r.number), t.verdict().Reason != v1.ReasonNotNeeded
}

// raiseReplicas finds the fewest replicas of which the member runs one.
func (t *trial) raiseReplicas() (string, bool) {
	was := t.in.Replicas
	const most = 100_000
	n := sort.Search(int(most-was), func(n int) bool {
		t.in.Replicas = was + 1 + int32(n) //nolint:gosec // at most 100,000
		return t.verdict().Reason != v1.ReasonNoReplicas
	})
	t.in.Replicas = was + 1 + int32(n) //nolint:gosec // at most 100,000
	return fmt.Sprintf("raise spec.replicas from %d to %d", was, t.in.Replicas), t.verdict().Reason != v1.ReasonNoReplicas
}
