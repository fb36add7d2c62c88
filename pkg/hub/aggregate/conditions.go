package aggregate

import (
	"fmt"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/example/myapp-hub/api/v1"
)

// longestMessage is what a row or condition admits, in characters.
const longestMessage = 1024

// admitted are the reasons that a condition may have, see metav1.Condition.
var admitted = regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9_,:]{0,254}[A-Za-z0-9])?$`)

// verdict is a condition without its type and times.
type verdict struct {
	status          metav1.ConditionStatus
	reason, message string
}

// setConditions sets all conditions of v1.AppConditions; meta keeps the time of
// those whose status stays.
func setConditions(conditions *[]metav1.Condition, in *Input, g *groups, now metav1.Time) {
	verdicts := map[string]verdict{
		v1.ConditionScheduled:   scheduled(in, g),
		v1.ConditionApplied:     applied(in, g),
		v1.ConditionAvailable:   available(in, g),
		v1.ConditionHeld:        held(g),
		v1.ConditionProgressing: progressing(in, g),
		v1.ConditionReady:       ready(in, g),
		v1.ConditionStalled:     stalled(in, g),
	}
	for _, t := range v1.AppConditions() {
		v := verdicts[t]
		meta.SetStatusCondition(conditions, metav1.Condition{
			Type: t, Status: v.status, Reason: v.reason, Message: cut(v.message, longestMessage),
			ObservedGeneration: in.Generation, LastTransitionTime: now,
		})
	}
}

func scheduled(in *Input, g *groups) verdict {
	if (g.wanted > 0 || in.Waits != nil) && in.PlacementReason != v1.ReasonSelectorInvalid {
		return verdict{metav1.ConditionTrue, v1.ReasonPlaced, in.PlacementMessage}
	}
	return verdict{metav1.ConditionFalse, in.PlacementReason, in.PlacementMessage}
}

func applied(in *Input, g *groups) verdict {
	block := in.blocked()
	switch {
	case in.Deleting:
		return verdict{metav1.ConditionFalse, v1.ReasonDeleting, waitingFor(g)}
	case block != nil:
		return verdict{metav1.ConditionFalse, block.Reason, block.Message}
	case g.wanted == 0 && in.Waits != nil:
		return verdict{metav1.ConditionFalse, in.Waits.Reason, in.Waits.Message}
	case g.wanted == 0:
		return verdict{metav1.ConditionFalse, in.PlacementReason, in.PlacementMessage}
	case g.notUpdated.count > 0:
		if g.telling.count > 0 {
			reason, message := blame(&g.telling, g.wanted)
			return verdict{metav1.ConditionFalse, reason, message}
		}
		return verdict{metav1.ConditionFalse, v1.ReasonUpdating, missingOn(g)}
	default:
		return verdict{metav1.ConditionTrue, v1.ReasonApplied, fmt.Sprintf("the current revision and replicas are on %d of %d members", g.wanted, g.wanted)}
	}
}

func missingOn(g *groups) string {
	return "the current revision and replicas are missing on " + names(&g.notUpdated, g.wanted)
}

func available(in *Input, g *groups) verdict {
	switch {
	case g.wanted == 0 && in.Waits != nil:
		return verdict{metav1.ConditionFalse, in.Waits.Reason, in.Waits.Message}
	case g.wanted == 0:
		return verdict{metav1.ConditionFalse, in.PlacementReason, in.PlacementMessage}
	case g.down.count > 0:
		return verdict{metav1.ConditionFalse, v1.ReasonUnavailable, "no pod is ready on " + names(&g.down, g.wanted)}
	case g.unknown.count > 0:
		return verdict{metav1.ConditionUnknown, v1.ReasonMemberUnknown, "no answer from " + names(&g.unknown, g.wanted)}
	default:
		return verdict{metav1.ConditionTrue, v1.ReasonAvailable, fmt.Sprintf("pods are ready on %d of %d members", g.wanted, g.wanted)}
	}
}

func held(g *groups) verdict {
	if g.hold != nil {
		return verdict{metav1.ConditionTrue, g.hold.Reason, g.hold.Message}
	}
	return verdict{metav1.ConditionFalse, v1.ReasonNotHeld, "nothing holds the app"}
}

func progressing(in *Input, g *groups) verdict {
	block := in.blocked()
	switch {
	case g.hold != nil:
		return verdict{metav1.ConditionFalse, g.hold.Reason, g.hold.Message}
	case in.Deleting:
		return verdict{metav1.ConditionTrue, v1.ReasonDeleting, waitingToDelete(in, g)}
	case block != nil:
		return verdict{metav1.ConditionFalse, block.Reason, block.Message}
	case in.Waits != nil && !in.Paused && g.removing.count+g.underWay.count == 0 && in.rollingOut() == nil:
		return verdict{metav1.ConditionFalse, in.Waits.Reason, in.Waits.Message}
	case in.Paused:
		return verdict{metav1.ConditionFalse, v1.ReasonPaused, "spec.paused is true: nothing is changed on any member"}
	case g.removing.count > 0:
		return verdict{metav1.ConditionTrue, v1.ReasonRemoving, waitingFor(g)}
	case in.rollingOut() != nil && g.wanted > 0:
		return in.progressingRollout()
	case g.underWay.count > 0:
		return verdict{metav1.ConditionTrue, v1.ReasonUpdating, "in progress on " + names(&g.underWay, g.wanted)}
	case g.leaving.count > 0:
		return verdict{metav1.ConditionTrue, reasonOf(g.leaving.first[0]), "leaving " + details(&g.leaving, len(in.Rows))}
	case g.wanted == 0:
		return verdict{metav1.ConditionFalse, in.PlacementReason, in.PlacementMessage}
	case g.inTrouble.count > 0:
		reason, message := blame(&g.inTrouble, g.wanted)
		return verdict{metav1.ConditionFalse, reason, message}
	case g.unknown.count > 0:
		return verdict{metav1.ConditionFalse, v1.ReasonMemberUnknown, "waiting to hear from " + names(&g.unknown, g.wanted)}
	default:
		return verdict{metav1.ConditionFalse, v1.ReasonApplied, "nothing is left to do"}
	}
}

// ready is never True while the app is stalled or held: whoever waits for an app
// by its status, as kstatus does, would read it as done and as failed at once.
func ready(in *Input, g *groups) verdict {
	block := in.blocked()
	switch {
	case g.hold != nil:
		return verdict{metav1.ConditionFalse, g.hold.Reason, g.hold.Message}
	case in.Deleting:
		return verdict{metav1.ConditionFalse, v1.ReasonDeleting, waitingFor(g)}
	case block != nil:
		return verdict{metav1.ConditionFalse, block.Reason, block.Message}
	case in.stopped() && g.wanted > 0:
		v := in.progressingRollout()
		return verdict{metav1.ConditionFalse, v.reason, v.message}
	case in.Waits != nil && g.inTrouble.count == 0:
		return verdict{metav1.ConditionFalse, in.Waits.Reason, in.Waits.Message}
	case g.wanted == 0 || in.PlacementReason == v1.ReasonSelectorInvalid:
		return verdict{metav1.ConditionFalse, in.PlacementReason, in.PlacementMessage}
	case g.inTrouble.count > 0:
		reason, message := blame(&g.inTrouble, g.wanted)
		return verdict{metav1.ConditionFalse, reason, message}
	case g.underWay.count > 0:
		return verdict{metav1.ConditionFalse, reasonOf(g.underWay.first[0]), "not ready on " + names(&g.underWay, g.wanted)}
	case g.unknown.count > 0:
		return verdict{metav1.ConditionUnknown, v1.ReasonMemberUnknown, "no answer from " + names(&g.unknown, g.wanted) + "; the last report of each is kept"}
	case in.rollingOut() != nil:
		v := in.progressingRollout()
		return verdict{metav1.ConditionFalse, v.reason, v.message}
	case g.notUpdated.count > 0:
		reason := v1.ReasonUpdating
		if in.Paused {
			reason = v1.ReasonPaused
		}
		return verdict{metav1.ConditionFalse, reason, missingOn(g)}
	default:
		return verdict{metav1.ConditionTrue, v1.ReasonAllReady, fmt.Sprintf("ready on %d of %d members", g.wanted, g.wanted)}
	}
}

// reasonOf is the reason of a row that is not ready. An agent may report
// anything; a reason that a condition does not admit would lose the whole status.
func reasonOf(r *v1.PlacementRow) string {
	if !admitted.MatchString(r.Reason) {
		return v1.ReasonPodsNotReady
	}
	return r.Reason
}

func stalled(in *Input, g *groups) verdict {
	block := in.blocked()
	switch {
	case block != nil && !in.Deleting:
		return verdict{metav1.ConditionTrue, block.Reason, block.Message}
	case in.PlacementReason == v1.ReasonSelectorInvalid:
		return verdict{metav1.ConditionTrue, v1.ReasonSelectorInvalid, in.PlacementMessage}
	case in.Waits != nil && in.Waits.Reason == v1.ReasonDependencyCycle && !in.Deleting:
		return verdict{metav1.ConditionTrue, in.Waits.Reason, in.Waits.Message}
	case g.refused.count > 0:
		reason, message := blame(&g.refused, g.wanted)
		return verdict{metav1.ConditionTrue, reason, message}
	case in.stopped():
		v := in.progressingRollout()
		return verdict{metav1.ConditionTrue, v.reason, v.message}
	default:
		return verdict{metav1.ConditionFalse, v1.ReasonNoStall, "no member needs a person's help"}
	}
}

// rollingOut is a rollout in steps that has not come to a good end; nil if there is none.
func (in *Input) rollingOut() *v1.RolloutStatus {
	r := in.Rollout
	if r == nil || r.Phase == v1.RolloutCompleted && r.Reason == v1.ReasonRolloutCompleted {
		return nil
	}
	return r
}

// stopped is true for a rollout that goes on only if a person does something.
func (in *Input) stopped() bool {
	r := in.rollingOut()
	return r != nil && (r.Phase == v1.RolloutPaused || r.Phase == v1.RolloutRolledBack) && !in.Deleting
}

// progressingRollout is whether and how a rollout goes on.
func (in *Input) progressingRollout() verdict {
	r := in.Rollout
	command := func(verb string) string {
		return fmt.Sprintf("kubectl myapp rollout %s %s -n %s", verb, in.Name, in.Namespace)
	}
	switch r.Phase {
	case v1.RolloutPaused:
		return verdict{metav1.ConditionFalse, r.Reason, "the rollout has stopped: " + r.Message + ". Change the spec, or accept that and go on: " + command("resume")}
	case v1.RolloutRollingBack:
		return verdict{metav1.ConditionTrue, v1.ReasonRollingBack, "the rollout is taken back: " + r.Message}
	case v1.RolloutRolledBack:
		return verdict{metav1.ConditionFalse, v1.ReasonRolledBack, "the rollout was taken back: " + r.Message + ". It is not tried again until the spec changes"}
	case v1.RolloutProgressing, v1.RolloutCompleted:
	}
	switch r.Reason {
	case v1.ReasonAwaitingApproval:
		return verdict{metav1.ConditionFalse, r.Reason, r.Message + ": " + command("approve")}
	case v1.ReasonOutsideWindow, v1.ReasonMaxUnavailable:
		return verdict{metav1.ConditionFalse, r.Reason, r.Message}
	}
	return verdict{metav1.ConditionTrue, r.Reason, r.Message}
}

func waitingFor(g *groups) string {
	if g.removing.count == 0 {
		return "the app has left every member"
	}
	return "waiting for " + names(&g.removing, 0) + " to confirm that nothing is left; " + says(g.removing.first[0])
}

// waitingToDelete says too how to wait no longer, and what that costs. The advice
// stays whole, however much a member has to say.
func waitingToDelete(in *Input, g *groups) string {
	if g.removing.count == 0 {
		return waitingFor(g)
	}
	var members []string
	for _, r := range g.removing.first[:min(mostNamed, g.removing.count)] {
		members = append(members, r.Cluster)
	}
	if g.removing.count > mostNamed {
		members = append(members, "...")
	}
	advice := fmt.Sprintf("; to stop waiting and leave what is there (only an agent that comes back would still remove it): kubectl annotate myapp %s -n %s --overwrite %s=%s",
		in.Name, in.Namespace, v1.AnnotationForceRemove, strings.Join(members, ","))
	return cut(strings.TrimSuffix(waitingFor(g), "."), max(shortestMessage, longestMessage-len([]rune(advice)))) + advice
}

func cut(s string, most int) string {
	if len(s) <= most {
		return s // as many characters as bytes at most
	}
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most-1]) + "…"
}
