package placement

import (
	"fmt"
	"strings"

	v1 "github.com/example/myapp-hub/api/v1"
)

// summary says in a few words how many members run the app, and why the others do not.
func summary(in *Input, r *Result) (reason, message string) {
	chosen, others := 0, map[string]int{}
	for i := range r.Verdicts {
		v := &r.Verdicts[i]
		if v.Outcome == Run || v.Outcome == Keep && v.Reason != v1.ReasonStray {
			chosen++
		} else {
			others[v.Reason]++
		}
	}
	rejected, nearMiss := rejected(others), others[v1.ReasonNoneReady]+others[v1.ReasonNotAccepted]
	total := len(in.Members)
	switch {
	case in.Deleting && in.Held == "":
		return v1.ReasonDeleting, "the MyApp is being deleted"
	case in.Rules.err != nil && in.Held == "":
		return v1.ReasonSelectorInvalid, in.Rules.err.Error()
	case chosen > 0:
		return v1.ReasonPlaced, fmt.Sprintf("%d of %d members chosen%s%s", chosen, max(total, chosen), rejected, remarks(in, r, chosen))
	case in.Held != "":
		return v1.ReasonHubRestored, in.Held
	case in.Invalid != "":
		return v1.ReasonSpecInvalid, in.Invalid
	case in.Paused:
		return v1.ReasonPaused, "spec.paused is true: no member is chosen until it is false"
	case in.Exceeded != "":
		return v1.ReasonQuotaExceeded, in.Exceeded
	case total == 0:
		return v1.ReasonNoMembers, "there is no MemberCluster: register one (kubectl get memberclusters)"
	case nearMiss > 0:
		return v1.ReasonNoneReady, fmt.Sprintf("0 of %d members chosen%s: see kubectl get memberclusters -o wide", total, rejected)
	case others[v1.ReasonNotChosen] == total:
		return v1.ReasonNoMatch, fmt.Sprintf("0 of %d members chosen%s: see kubectl get memberclusters --show-labels", total, rejected)
	default:
		return v1.ReasonNoMatch, fmt.Sprintf("0 of %d members chosen%s: see kubectl myapp explain", total, rejected)
	}
}

// remarks are what a person should know of a placement that was found.
func remarks(in *Input, r *Result, chosen int) string {
	var b strings.Builder
	if n := in.Rules.number; n > chosen {
		fmt.Fprintf(&b, "; %d are asked for", n)
	}
	if r.Unplaced > 0 {
		fmt.Fprintf(&b, "; %d of %d replicas fit on no member", r.Unplaced, in.Replicas)
	}
	if r.Waiting > 0 {
		fmt.Fprintf(&b, "; %d wait for the failover budget", r.Waiting)
	}
	if r.CutOff && in.Rules.takesOver() {
		b.WriteString("; so many members are silent that none of them is left: the hub may be cut off itself")
	}
	return b.String()
}

// rejected says why members were not chosen, and how many.
func rejected(reasons map[string]int) string {
	var parts []string
	for _, r := range []struct {
		says    string
		reasons []string
	}{
		{"do not match", []string{v1.ReasonNotChosen, v1.ReasonNameMismatch, v1.ReasonExpressionFalse, v1.ReasonExpressionFailed, v1.ReasonNoGroup, v1.ReasonTopologyMissing}},
		{"do not allow the namespace", []string{v1.ReasonNamespaceNotAllowed}},
		{"are leaving", []string{v1.ReasonMemberLeaving}},
		{"are not accepted", []string{v1.ReasonNotAccepted}},
		{"are tainted", []string{v1.ReasonTaintNotTolerated, v1.ReasonEvicted}},
		{"do not serve a kind", []string{v1.ReasonKindMissing}},
		{"do not answer", []string{v1.ReasonNoneReady}},
		{"are full", []string{v1.ReasonNoCapacity}},
		{"are not needed", []string{v1.ReasonNotNeeded, v1.ReasonNoReplicas}},
	} {
		n := 0
		for _, reason := range r.reasons {
			n += reasons[reason]
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, r.says))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "; " + strings.Join(parts, ", ")
}
