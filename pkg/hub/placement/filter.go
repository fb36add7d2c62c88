package placement

import (
	"fmt"
	"strings"
	"time"

	v1 "github.com/example/myapp-hub/api/v1"
)

// candidate is a member or a row, or both, on its way to a verdict.
type candidate struct {
	name   string
	member *Member // nil if there is only a row
	// matching is what the rules say of all members, index the place of this one.
	matching *matching
	index    int
	row      *v1.PlacementRow // nil if the app is not there
	// placed is true if the app is there and nobody has decided that it leaves; a stray
	// is no decision.
	placed, stray bool

	// verdict is complete once decided is true. Until then the member may be chosen.
	verdict Verdict
	decided bool

	// group and rank order those that may be chosen.
	group int
	rank  rank
	// strain is what its taints do to it, evicted the one for which it is due to be left, since
	// evictAt.
	strain  strain
	evicted *Taint
	evictAt time.Time
	// gentle is true for a Remove that can wait for who takes over, limited for one that a
	// slip of a person may have brought about.
	gentle, limited bool
	// wants is for how many pods the member is chosen.
	wants int32
}

// decide gives a member without the app Reject, and one with it another outcome.
func (c *candidate) decide(ifThere Outcome, reason, message string) {
	c.decided = true
	c.verdict.Outcome, c.verdict.Reason, c.verdict.Message = Reject, reason, message
	if c.row != nil {
		c.verdict.Outcome = ifThere
	}
}

// leave decides that the app is to leave the member, if it is there.
func (c *candidate) leave(reason, message string) {
	c.decide(Remove, reason, message)
	c.limited, c.gentle = true, true
}

// byApp is the part of Schedule's table that holds for all members, and the line that
// comes before a part of it. It is false if no line of it holds.
func (c *candidate) byApp(in *Input) bool {
	switch {
	case in.Held != "":
		c.decide(Keep, v1.ReasonHubRestored, in.Held)
	case in.Deleting:
		c.decide(Remove, v1.ReasonDeleting, "the MyApp is being deleted")
	case c.member != nil && c.member.Leaving == v1.LeaveForget:
		c.decide(Remove, v1.ReasonMemberLeaving, "spec.leave of MemberCluster "+c.name+" says to forget it")
	case in.Invalid != "":
		c.decide(Keep, v1.ReasonSpecInvalid, in.Invalid)
	case in.Paused:
		c.decide(Keep, v1.ReasonPaused, "spec.paused is true")
	default:
		return false
	}
	return true
}

// byOwner is what people say about the member and the app, in order; it is false if that
// lets the member be chosen.
func (c *candidate) byOwner(in *Input) bool {
	m := c.member
	switch {
	case m == nil:
		c.decide(Keep, v1.ReasonMemberGone, "MemberCluster "+c.name+" does not exist")
	case in.Rules.err != nil:
		c.decide(Keep, v1.ReasonSelectorInvalid, in.Rules.err.Error())
	case m.Leaving != "":
		c.decide(Remove, v1.ReasonMemberLeaving, "spec.leave of MemberCluster "+c.name+" says that apps leave it")
	case m.NamespacesInvalid != "":
		c.decide(Keep, v1.ReasonNamespaceNotAllowed, "spec.allowedNamespaces of MemberCluster "+c.name+" cannot be used: "+m.NamespacesInvalid)
	case m.Namespaces != nil && in.Namespace == nil:
		c.decide(Keep, v1.ReasonNamespaceNotAllowed, "the labels of the app's namespace, which "+c.name+" asks for, are not known")
	case m.Namespaces != nil && !m.Namespaces.Matches(in.Namespace):
		c.decide(Remove, v1.ReasonNamespaceNotAllowed, "spec.allowedNamespaces of MemberCluster "+c.name+" does not choose the app's namespace")
		c.limited = true
	default:
		return c.byMatch(in)
	}
	return true
}

// byMatch is what the placement asks of the member itself.
func (c *candidate) byMatch(in *Input) bool {
	reason, message := in.Rules.mismatch(c.matching, c.index)
	c.group = int(c.matching.says[c.index].group)
	switch {
	case reason == "":
		return false
	case reason == v1.ReasonExpressionFalse && c.placed && in.Rules.usesCapacity:
		return false // the app itself may be what takes the room
	case c.stray:
		c.keepStray()
	case reason == v1.ReasonExpressionFailed:
		c.decide(Keep, reason, message)
	default:
		c.leave(reason, message)
	}
	return true
}

// byState is what the member's state allows. A member that has the app keeps it but for
// a taint; one that has it not must be fit to get it.
func (c *candidate) byState(in *Input) bool {
	m, strain := c.member, in.Rules.strainOf(c.member, in.LeaderSince)
	c.rank.unwelcome = strain.unwelcome
	if !m.Accepted {
		c.decide(Keep, v1.ReasonNotAccepted, c.name+" is not accepted, see kubectl myapp accept "+c.name)
		return true
	}
	if in.Exceeded != "" {
		c.decide(Keep, v1.ReasonQuotaExceeded, in.Exceeded)
		return true
	}
	if c.placed {
		c.strain = strain
		return false
	}
	reason, message := c.unfit(in, strain.repels)
	if reason != "" {
		c.decide(Remove, reason, message)
		if c.stray {
			c.keepStray()
		}
	}
	return c.decided
}

// unfit is why a member cannot get the app now; empty if it can. Where objects of the app
// are, there is room for them.
func (c *candidate) unfit(in *Input, repels *Taint) (reason, message string) {
	m := c.member
	if repels != nil {
		return v1.ReasonTaintNotTolerated, m.Name + " has " + describe(repels) + ", which spec.placement.tolerations do not tolerate" + forEver(repels)
	}
	if api := m.missing(in.Needs); api != "" {
		return v1.ReasonKindMissing, m.Name + " does not serve " + api + ", which the app needs"
	}
	if !m.Ready && (c.row == nil || in.Rules.takesOver()) {
		return v1.ReasonNoneReady, m.Name + " does not answer"
	}
	if c.row != nil {
		return "", ""
	}
	if lacks := in.lacks(m, in.atLeast(m.Name)); lacks != "" {
		return v1.ReasonNoCapacity, m.Name + " needs " + lacks
	}
	if _, known := in.room(m); !known && in.Rules.division == v1.DivideFreeCapacity {
		return v1.ReasonNoCapacity, "the capacity of " + m.Name + ", by which replicas are divided, is not known"
	}
	return "", ""
}

// atLeast is for how many pods a member must have room to be chosen.
func (in *Input) atLeast(name string) int64 {
	if in.Rules.divided {
		return int64(min(max(1, in.Rules.min), in.Replicas))
	}
	return int64(in.Numbers[name])
}

func forEver(t *Taint) string {
	if t.Effect == v1.TaintNoExecute {
		return " for ever"
	}
	return ""
}

// describe is a taint as people write it.
func describe(t *Taint) string {
	var b strings.Builder
	b.WriteString("the taint ")
	b.WriteString(t.Key)
	if t.Value != "" {
		b.WriteString("=" + t.Value)
	}
	b.WriteString(":" + string(t.Effect))
	return b.String()
}

// evictionMessage says why an app is to leave a member with a taint.
func evictionMessage(name string, t *Taint) string {
	if t.Key == v1.TaintUnreachable {
		return fmt.Sprintf("%s has not answered for longer than the app tolerates, and other members take over", name)
	}
	return name + " has " + describe(t) + ", which the app does not tolerate any longer"
}

// keepStray leaves objects alone that nobody has decided about.
func (c *candidate) keepStray() {
	c.decide(Keep, v1.ReasonStray, "objects of this app are on "+c.name+" that no decision explains; they are left alone")
}
