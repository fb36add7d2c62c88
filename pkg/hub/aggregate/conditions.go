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
func setConditions(conditions *[]metav1.Condition, in Input, now metav1.Time) {
	g := group(in)
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

// groups are the rows by what they mean for the conditions. A row can be in
// several.
type groups struct {
	// wanted are the rows whose members are to run the app, notUpdated those that
	// do not have what the spec says.
	wanted, notUpdated []v1.PlacementRow
	// inTrouble have failed, or have what nothing but a person or somebody else
	// on the member changes; refused need a person.
	inTrouble, refused []v1.PlacementRow
	// underWay are not ready, and without trouble.
	underWay []v1.PlacementRow
	// unknown do not answer, removing are losing the app, older do not obey this
	// hub: what they have is from a newer state of it, or from another hub.
	unknown, removing, older []v1.PlacementRow
	// hold is why nothing is changed, nil if it is.
	hold *Hold
}

func group(in Input) groups {
	var g groups
	for _, r := range in.Rows {
		if r.Reason == v1.ReasonHubRestored || r.Reason == v1.ReasonHubReplaced {
			g.older = append(g.older, r)
		}
		if r.State == v1.PlacementRemoving {
			g.removing = append(g.removing, r)
		}
		if !wanted(r) {
			continue
		}
		g.wanted = append(g.wanted, r)
		current := in.current(r)
		if !current {
			g.notUpdated = append(g.notUpdated, r)
		}
		switch {
		case r.State == v1.PlacementUnknown:
			g.unknown = append(g.unknown, r)
		case r.State == v1.PlacementReady && current:
		case r.State == v1.PlacementFailed || needsPerson(r.Reason) || r.Reason == v1.ReasonDrifted:
			g.inTrouble = append(g.inTrouble, r)
			if needsPerson(r.Reason) {
				g.refused = append(g.refused, r)
			}
		case r.State == v1.PlacementPending || r.State == v1.PlacementProgressing:
			g.underWay = append(g.underWay, r)
		}
	}
	g.hold = in.Held
	if g.hold == nil && len(g.older) > 0 {
		g.hold = &Hold{Reason: reasonOf(g.older[0]), Message: "another state of the hub has written what is on " + details(g.older, len(in.Rows))}
	}
	return g
}

// needsPerson is true for reasons that no retry mends.
func needsPerson(reason string) bool {
	switch reason {
	case v1.ReasonNotOwned, v1.ReasonRejected, v1.ReasonForbidden,
		v1.ReasonContested, v1.ReasonConflict, v1.ReasonNotPermitted, v1.ReasonKindMissing,
		v1.ReasonSecretMissing, v1.ReasonRenderError, v1.ReasonHubReplaced:
		return true
	}
	return false
}

// speaksForItself is true for reasons of rows that say more as the reason of a
// condition than that the member failed.
func speaksForItself(reason string) bool {
	switch reason {
	case v1.ReasonDrifted, v1.ReasonContested, v1.ReasonConflict, v1.ReasonNotPermitted,
		v1.ReasonKindMissing, v1.ReasonSecretMissing, v1.ReasonRenderError, v1.ReasonHubRestored, v1.ReasonHubReplaced:
		return true
	}
	return false
}

// blame is the reason and message about rows in trouble. The word is given to
// the first of the worst: one that needs a person, else one that failed.
func blame(rows []v1.PlacementRow, total int) (reason, message string) {
	rank := func(r v1.PlacementRow) int {
		switch {
		case needsPerson(r.Reason):
			return 0
		case r.State == v1.PlacementFailed:
			return 1
		default:
			return 2
		}
	}
	worst := rows[0]
	for _, r := range rows {
		if rank(r) < rank(worst) {
			worst = r
		}
	}
	what := "not as wanted on "
	if worst.State == v1.PlacementFailed {
		what = "failed on "
	}
	reason = v1.ReasonMemberFailed
	if speaksForItself(worst.Reason) {
		reason = worst.Reason
	}
	return reason, what + names(rows, total) + "; " + says(worst)
}

func scheduled(in Input, g groups) verdict {
	if len(g.wanted) > 0 && in.PlacementReason != v1.ReasonSelectorInvalid {
		return verdict{metav1.ConditionTrue, v1.ReasonPlaced, in.PlacementMessage}
	}
	return verdict{metav1.ConditionFalse, in.PlacementReason, in.PlacementMessage}
}

func applied(in Input, g groups) verdict {
	switch {
	case in.Deleting:
		return verdict{metav1.ConditionFalse, v1.ReasonDeleting, waitingFor(g)}
	case in.Invalid != "":
		return verdict{metav1.ConditionFalse, v1.ReasonSpecInvalid, in.Invalid}
	case len(g.wanted) == 0:
		return verdict{metav1.ConditionFalse, in.PlacementReason, in.PlacementMessage}
	case len(g.notUpdated) > 0:
		if rows := telling(g.notUpdated); len(rows) > 0 {
			reason, message := blame(rows, len(g.wanted))
			return verdict{metav1.ConditionFalse, reason, message}
		}
		return verdict{metav1.ConditionFalse, v1.ReasonUpdating, missingOn(g)}
	default:
		return verdict{metav1.ConditionTrue, v1.ReasonApplied, fmt.Sprintf("the current revision and replicas are on %d of %d members", len(g.wanted), len(g.wanted))}
	}
}

func missingOn(g groups) string {
	return "the current revision and replicas are missing on " + names(g.notUpdated, len(g.wanted))
}

// telling are the rows that say why they do not have what is wanted.
func telling(rows []v1.PlacementRow) (telling []v1.PlacementRow) {
	for _, r := range rows {
		if speaksForItself(r.Reason) {
			telling = append(telling, r)
		}
	}
	return telling
}

func available(in Input, g groups) verdict {
	var none []v1.PlacementRow
	for _, r := range g.wanted {
		if r.Replicas > 0 && r.ReadyReplicas == 0 && r.State != v1.PlacementUnknown {
			none = append(none, r)
		}
	}
	switch {
	case len(g.wanted) == 0:
		return verdict{metav1.ConditionFalse, in.PlacementReason, in.PlacementMessage}
	case len(none) > 0:
		return verdict{metav1.ConditionFalse, v1.ReasonUnavailable, "no pod is ready on " + names(none, len(g.wanted))}
	case len(g.unknown) > 0:
		return verdict{metav1.ConditionUnknown, v1.ReasonMemberUnknown, "no answer from " + names(g.unknown, len(g.wanted))}
	default:
		return verdict{metav1.ConditionTrue, v1.ReasonAvailable, fmt.Sprintf("pods are ready on %d of %d members", len(g.wanted), len(g.wanted))}
	}
}

func held(g groups) verdict {
	if g.hold != nil {
		return verdict{metav1.ConditionTrue, g.hold.Reason, g.hold.Message}
	}
	return verdict{metav1.ConditionFalse, v1.ReasonNotHeld, "nothing holds the app"}
}

func progressing(in Input, g groups) verdict {
	switch {
	case g.hold != nil:
		return verdict{metav1.ConditionFalse, g.hold.Reason, g.hold.Message}
	case in.Deleting:
		return verdict{metav1.ConditionTrue, v1.ReasonDeleting, waitingToDelete(in, g)}
	case in.Invalid != "":
		return verdict{metav1.ConditionFalse, v1.ReasonSpecInvalid, in.Invalid}
	case in.Paused:
		return verdict{metav1.ConditionFalse, v1.ReasonPaused, "spec.paused is true: nothing is changed on any member"}
	case len(g.removing) > 0:
		return verdict{metav1.ConditionTrue, v1.ReasonRemoving, waitingFor(g)}
	case len(g.underWay) > 0:
		return verdict{metav1.ConditionTrue, v1.ReasonUpdating, "in progress on " + names(g.underWay, len(g.wanted))}
	case len(g.wanted) == 0:
		return verdict{metav1.ConditionFalse, in.PlacementReason, in.PlacementMessage}
	case len(g.inTrouble) > 0:
		reason, message := blame(g.inTrouble, len(g.wanted))
		return verdict{metav1.ConditionFalse, reason, message}
	case len(g.unknown) > 0:
		return verdict{metav1.ConditionFalse, v1.ReasonMemberUnknown, "waiting to hear from " + names(g.unknown, len(g.wanted))}
	default:
		return verdict{metav1.ConditionFalse, v1.ReasonApplied, "nothing is left to do"}
	}
}

// ready is never True while the app is stalled or held: whoever waits for an app
// by its status, as kstatus does, would read it as done and as failed at once.
func ready(in Input, g groups) verdict {
	switch {
	case g.hold != nil:
		return verdict{metav1.ConditionFalse, g.hold.Reason, g.hold.Message}
	case in.Deleting:
		return verdict{metav1.ConditionFalse, v1.ReasonDeleting, waitingFor(g)}
	case in.Invalid != "":
		return verdict{metav1.ConditionFalse, v1.ReasonSpecInvalid, in.Invalid}
	case len(g.wanted) == 0 || in.PlacementReason == v1.ReasonSelectorInvalid:
		return verdict{metav1.ConditionFalse, in.PlacementReason, in.PlacementMessage}
	case len(g.inTrouble) > 0:
		reason, message := blame(g.inTrouble, len(g.wanted))
		return verdict{metav1.ConditionFalse, reason, message}
	case len(g.underWay) > 0:
		return verdict{metav1.ConditionFalse, reasonOf(g.underWay[0]), "not ready on " + names(g.underWay, len(g.wanted))}
	case len(g.unknown) > 0:
		return verdict{metav1.ConditionUnknown, v1.ReasonMemberUnknown, "no answer from " + names(g.unknown, len(g.wanted)) + "; the last report of each is kept"}
	case len(g.notUpdated) > 0:
		reason := v1.ReasonUpdating
		if in.Paused {
			reason = v1.ReasonPaused
		}
		return verdict{metav1.ConditionFalse, reason, missingOn(g)}
	default:
		return verdict{metav1.ConditionTrue, v1.ReasonAllReady, fmt.Sprintf("ready on %d of %d members", len(g.wanted), len(g.wanted))}
	}
}

// reasonOf is the reason of a row that is not ready. An agent may report
// anything; a reason that a condition does not admit would lose the whole status.
func reasonOf(r v1.PlacementRow) string {
	if !admitted.MatchString(r.Reason) {
		return v1.ReasonPodsNotReady
	}
	return r.Reason
}

func stalled(in Input, g groups) verdict {
	switch {
	case in.Invalid != "" && !in.Deleting:
		return verdict{metav1.ConditionTrue, v1.ReasonSpecInvalid, in.Invalid}
	case in.PlacementReason == v1.ReasonSelectorInvalid:
		return verdict{metav1.ConditionTrue, v1.ReasonSelectorInvalid, in.PlacementMessage}
	case len(g.refused) > 0:
		reason, message := blame(g.refused, len(g.wanted))
		return verdict{metav1.ConditionTrue, reason, message}
	default:
		return verdict{metav1.ConditionFalse, v1.ReasonNoStall, "no member needs a person's help"}
	}
}

func waitingFor(g groups) string {
	if len(g.removing) == 0 {
		return "the app has left every member"
	}
	return "waiting for " + names(g.removing, 0) + " to confirm that nothing is left; " + says(g.removing[0])
}

// waitingToDelete says too how to wait no longer, and what that costs. The advice
// stays whole, however much a member has to say.
func waitingToDelete(in Input, g groups) string {
	if len(g.removing) == 0 {
		return waitingFor(g)
	}
	const most = 10
	var members []string
	for _, r := range g.removing[:min(most, len(g.removing))] {
		members = append(members, r.Cluster)
	}
	if len(g.removing) > most {
		members = append(members, "...")
	}
	advice := fmt.Sprintf("; to stop waiting and leave what is there (only an agent that comes back would still remove it): kubectl annotate myapp %s -n %s --overwrite %s=%s",
		in.Name, in.Namespace, v1.AnnotationForceRemove, strings.Join(members, ","))
	return cut(waitingFor(g), max(shortestMessage, longestMessage-len([]rune(advice)))) + advice
}

// names lists members, sorted and cut: "3 of 40: a, b, c". With total 0 it
// lists them without counting.
func names(rows []v1.PlacementRow, total int) string {
	const most = 3
	var list []string
	for _, r := range rows[:min(most, len(rows))] {
		list = append(list, r.Cluster)
	}
	s := strings.Join(list, ", ")
	if more := len(rows) - most; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	if total == 0 {
		return s
	}
	return fmt.Sprintf("%d of %d: %s", len(rows), total, s)
}

// details names the members and says the first one's trouble in full.
func details(rows []v1.PlacementRow, total int) string {
	return names(rows, total) + "; " + says(rows[0])
}

func says(r v1.PlacementRow) string { return r.Cluster + ": " + r.Message }

func cut(s string, most int) string {
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most-1]) + "…"
}
