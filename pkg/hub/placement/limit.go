package placement

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/example/myapp-hub/api/v1"
)

// fewestLimited is from how many members on the limit of a change holds: with fewer a
// person sees what an edit does.
const fewestLimited = 5

// limit stops a change that would take the app off more than half of its members, those of
// the last minutes included, until a person has acknowledged it: a slip in a selector or a
// label must not end an app. What is ordered about a single member, as that it leaves, goes
// on.
func (p *plan) limit() {
	var lost []string
	rows, underWay := 0, 0
	lately := make(map[string]bool, len(p.in.Lately))
	for _, name := range p.in.Lately {
		lately[name] = true
	}
	for i := range p.candidates {
		c := &p.candidates[i]
		if c.row == nil && lately[c.name] {
			rows++
			underWay++
		}
		if c.row == nil || c.stray {
			continue
		}
		rows++
		switch {
		case !c.placed || c.leaving() || c.member == nil:
			underWay++ // or nobody can say
		case c.verdict.Outcome == Remove && (c.limited || c.evictedForGood(p.in.Rules)):
			lost = append(lost, c.name)
		}
	}
	if len(lost) == 0 || rows < fewestLimited || 2*(len(lost)+underWay) <= rows {
		p.lost = lost
		return
	}
	plan := planHash(p.in, v1.ReasonAwaitingAck, lost)
	if p.in.Acknowledged == plan {
		return
	}
	p.asks = Question{
		Reason: v1.ReasonAwaitingAck, Plan: plan, Clusters: lost,
		Message: fmt.Sprintf("the app would leave %d of its %d members (%s), which is more than half: nothing is changed until that is taken back or acknowledged: %s",
			len(lost), rows, some(lost), ackCommand(p.in, plan)),
	}
	p.hold(plan)
}

// evictedForGood is true for a member that is left for a taint, where nobody takes over: a
// taint that was set everywhere by mistake must not end an app.
func (c *candidate) evictedForGood(r *Rules) bool {
	return c.verdict.Reason == v1.ReasonEvicted && !r.takesOver()
}

// hold keeps every member as it is until a plan is acknowledged.
func (p *plan) hold(hash string) {
	for i := range p.candidates {
		c := &p.candidates[i]
		v := &c.verdict
		held := v.Outcome == Run || v.Outcome == Remove && (c.limited || c.gentle)
		if !held || c.leaving() || c.row != nil && !c.placed {
			continue
		}
		v.Outcome = Reject
		if c.placed {
			v.Outcome = Keep
		}
		v.Reason, v.Message = v1.ReasonAwaitingAck, "nothing is changed until "+hash+" is acknowledged"
	}
}

// planHash names a set of members that an app would leave for a reason under one generation
// of its spec.
func planHash(in *Input, why string, clusters []string) string {
	h := sha256.New()
	h.Write([]byte(why + "\n" + in.UID + "\n" + strconv.FormatInt(in.Generation, 10)))
	clusters = slices.Sorted(slices.Values(clusters))
	h.Write([]byte("\n" + strings.Join(clusters, "\n")))
	return hex.EncodeToString(h.Sum(nil))[:12]
}

// FirstOf are the first names of a list, so many at the most, and how many more there are.
func FirstOf(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// some are the first few names.
func some(names []string) string { return FirstOf(names, 3) }

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// keepWithinQuota keeps the app where it is for as long as a quota does not let it go where
// it should: otherwise it would leave one place and not come to the other.
func (p *plan) keepWithinQuota() {
	if p.in.Exceeded == "" {
		return
	}
	for i := range p.candidates {
		if c := &p.candidates[i]; c.placed && !c.leaving() && c.verdict.Outcome == Remove && c.gentle {
			c.decide(Keep, v1.ReasonQuotaExceeded, p.in.Exceeded)
		}
	}
}

// ackCommand is what a person types to acknowledge a plan.
func ackCommand(in *Input, plan string) string {
	namespace, name, _ := strings.Cut(in.App, "/")
	return "kubectl myapp ack " + name + " -n " + namespace + " --plan " + plan
}
