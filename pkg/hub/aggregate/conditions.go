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

// groups are the rows by what they mean for the conditions.
type groups struct {
	wanted, notUpdated, notReady, unknown, failed, refused, removing []v1.PlacementRow
}

func group(in Input) groups {
	var g groups
	for _, r := range in.Rows {
		if r.State == v1.PlacementRemoving {
			g.removing = append(g.removing, r)
		}
		if !wanted(r) {
			continue
		}
		g.wanted = append(g.wanted, r)
		if !in.current(r) {
			g.notUpdated = append(g.notUpdated, r)
		}
		switch r.State {
		case v1.PlacementUnknown:
			g.unknown = append(g.unknown, r)
		case v1.PlacementFailed:
			g.failed = append(g.failed, r)
			if needsPerson(r.Reason) {
				g.refused = append(g.refused, r)
			}
		case v1.PlacementPending, v1.PlacementProgressing:
			g.notReady = append(g.notReady, r)
		case v1.PlacementReady, v1.PlacementRemoving, v1.PlacementStray:
		}
	}
	return g
}

// needsPerson is true for reasons that no retry mends.
func needsPerson(reason string) bool {
	return reason == v1.ReasonNotOwned || reason == v1.ReasonRejected || reason == v1.ReasonForbidden
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
	case len(g.wanted) == 0:
		return verdict{metav1.ConditionFalse, in.PlacementReason, in.PlacementMessage}
	case len(g.notUpdated) > 0:
		return verdict{metav1.ConditionFalse, v1.ReasonUpdating, "the current revision and replicas are missing on " + names(g.notUpdated, len(g.wanted))}
	default:
		return verdict{metav1.ConditionTrue, v1.ReasonApplied, fmt.Sprintf("the current revision and replicas are on %d of %d members", len(g.wanted), len(g.wanted))}
	}
}

func progressing(in Input, g groups) verdict {
	switch {
	case in.Deleting:
		return verdict{metav1.ConditionTrue, v1.ReasonDeleting, waitingFor(g)}
	case in.Paused:
		return verdict{metav1.ConditionFalse, v1.ReasonPaused, "spec.paused is true: nothing is changed on any member"}
	case len(g.removing) > 0:
		return verdict{metav1.ConditionTrue, v1.ReasonRemoving, waitingFor(g)}
	case len(g.notReady) > 0:
		return verdict{metav1.ConditionTrue, v1.ReasonUpdating, "in progress on " + names(g.notReady, len(g.wanted))}
	case len(g.wanted) == 0:
		return verdict{metav1.ConditionFalse, in.PlacementReason, in.PlacementMessage}
	case len(g.failed) > 0:
		return verdict{metav1.ConditionFalse, v1.ReasonMemberFailed, "failed on " + details(g.failed, len(g.wanted))}
	case len(g.unknown) > 0:
		return verdict{metav1.ConditionFalse, v1.ReasonMemberUnknown, "waiting to hear from " + names(g.unknown, len(g.wanted))}
	default:
		return verdict{metav1.ConditionFalse, v1.ReasonApplied, "nothing is left to do"}
	}
}

func ready(in Input, g groups) verdict {
	switch {
	case in.Deleting:
		return verdict{metav1.ConditionFalse, v1.ReasonDeleting, waitingFor(g)}
	case len(g.wanted) == 0:
		return verdict{metav1.ConditionFalse, in.PlacementReason, in.PlacementMessage}
	case len(g.failed) > 0:
		return verdict{metav1.ConditionFalse, v1.ReasonMemberFailed, "failed on " + details(g.failed, len(g.wanted))}
	case len(g.notReady) > 0:
		return verdict{metav1.ConditionFalse, reasonOf(g.notReady[0]), "not ready on " + names(g.notReady, len(g.wanted))}
	case len(g.unknown) > 0:
		return verdict{metav1.ConditionUnknown, v1.ReasonMemberUnknown, "no answer from " + names(g.unknown, len(g.wanted)) + "; the last report of each is kept"}
	case len(g.notUpdated) > 0:
		reason := v1.ReasonUpdating
		if in.Paused {
			reason = v1.ReasonPaused
		}
		return verdict{metav1.ConditionFalse, reason, "the current revision and replicas are missing on " + names(g.notUpdated, len(g.wanted))}
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
	case in.PlacementReason == v1.ReasonSelectorInvalid:
		return verdict{metav1.ConditionTrue, v1.ReasonSelectorInvalid, in.PlacementMessage}
	case len(g.refused) > 0:
		return verdict{metav1.ConditionTrue, v1.ReasonMemberFailed, "refused by " + details(g.refused, len(g.wanted))}
	default:
		return verdict{metav1.ConditionFalse, v1.ReasonNoStall, "no member needs a person's help"}
	}
}

func waitingFor(g groups) string {
	if len(g.removing) == 0 {
		return "the app has left every member"
	}
	return "waiting for " + names(g.removing, 0) + " to confirm that nothing is left; " + g.removing[0].Cluster + ": " + g.removing[0].Message
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
	return names(rows, total) + "; " + rows[0].Cluster + ": " + rows[0].Message
}

func cut(s string, most int) string {
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most-1]) + "…"
}
