package placement

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	v1 "github.com/example/myapp-hub/api/v1"
)

// Member is a MemberCluster as placement sees it.
type Member struct {
	Name   string
	Labels map[string]string
	// Ready is true when the member answers.
	Ready bool
}

// Input is all that decides a placement.
type Input struct {
	Placement *v1.Placement
	// Held says why the hub changes nothing for any app; empty if it does.
	Held string
	// Deleting is true once the MyApp has a deletionTimestamp.
	Deleting bool
	// Invalid says what is wrong with the spec; empty if nothing is.
	Invalid string
	// Paused is true when nothing may change.
	Paused bool
	// Members are all MemberClusters.
	Members []Member
	// Placed are the names of the members that have a row.
	Placed []string
	// Strays are those of them that have objects no decision explains.
	Strays []string
}

// Schedule gives one verdict for every member and every row, by the first line
// that holds:
//
//	the hub is held               row: Keep     no row: Reject
//	the app is deleted            row: Remove   no row: Reject
//	the spec is not valid         row: Keep     no row: Reject
//	the app is paused             row: Keep     no row: Reject
//	the MemberCluster is missing  row: Keep
//	the selector is not valid     row: Keep     no row: Reject
//	a stray, not matching         row: Keep
//	the labels do not match       row: Remove   no row: Reject
//	the member is not ready       row: Run      no row: Reject
//	otherwise                     Run
func Schedule(in Input) Result {
	selector, err := Selector(in.Placement)
	var r Result
	for _, c := range candidates(in) {
		v := Verdict{Cluster: c.name}
		switch {
		case in.Held != "":
			v.decide(c.placed, Keep, v1.ReasonHubRestored, in.Held)
		case in.Deleting:
			v.decide(c.placed, Remove, v1.ReasonDeleting, "the MyApp is being deleted")
		case in.Invalid != "":
			v.decide(c.placed, Keep, v1.ReasonSpecInvalid, in.Invalid)
		case in.Paused:
			v.decide(c.placed, Keep, v1.ReasonPaused, "spec.paused is true")
		case c.member == nil:
			v.decide(c.placed, Keep, v1.ReasonMemberGone, "MemberCluster "+c.name+" does not exist")
		case err != nil:
			v.decide(c.placed, Keep, v1.ReasonSelectorInvalid, err.Error())
		case slices.Contains(in.Strays, c.name) && !selector.Matches(labels.Set(c.member.Labels)):
			v.decide(c.placed, Keep, v1.ReasonStray, "objects of this app are on "+c.name+" that no decision explains; they are left alone")
		case !selector.Matches(labels.Set(c.member.Labels)):
			v.decide(c.placed, Remove, v1.ReasonNotChosen, "the labels of "+c.name+" do not match spec.placement.clusterSelector")
		case !c.member.Ready:
			v.decide(c.placed, Run, v1.ReasonNoneReady, c.name+" does not answer")
		default:
			v.Outcome, v.Reason, v.Message = Run, v1.ReasonPlaced, c.name+" matches and is ready"
		}
		r.Verdicts = append(r.Verdicts, v)
	}
	r.Reason, r.Message = summary(in, r, err)
	return r
}

// Selector is the label selector of a placement; a nil placement or selector
// chooses every member.
func Selector(p *v1.Placement) (labels.Selector, error) {
	if p == nil || p.ClusterSelector == nil {
		return labels.Everything(), nil
	}
	s := &metav1.LabelSelector{MatchLabels: map[string]string{}}
	for k, v := range p.ClusterSelector.MatchLabels {
		s.MatchLabels[k] = string(v)
	}
	for _, e := range p.ClusterSelector.MatchExpressions {
		r := metav1.LabelSelectorRequirement{Key: e.Key, Operator: e.Operator}
		for _, v := range e.Values {
			r.Values = append(r.Values, string(v))
		}
		s.MatchExpressions = append(s.MatchExpressions, r)
	}
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return nil, fmt.Errorf("spec.placement.clusterSelector cannot be used: %w", err)
	}
	return selector, nil
}

func (v *Verdict) decide(placed bool, ifPlaced Outcome, reason, message string) {
	v.Outcome, v.Reason, v.Message = Reject, reason, message
	if placed {
		v.Outcome = ifPlaced
	}
}

type candidate struct {
	name   string
	member *Member
	placed bool
}

// candidates are all members and rows, ordered by name.
func candidates(in Input) []candidate {
	byName := map[string]*candidate{}
	at := func(name string) *candidate {
		if byName[name] == nil {
			byName[name] = &candidate{name: name}
		}
		return byName[name]
	}
	for i := range in.Members {
		at(in.Members[i].Name).member = &in.Members[i]
	}
	for _, name := range in.Placed {
		at(name).placed = true
	}
	all := make([]candidate, 0, len(byName))
	for _, c := range byName {
		all = append(all, *c)
	}
	slices.SortFunc(all, func(a, b candidate) int { return strings.Compare(a.name, b.name) })
	return all
}

func summary(in Input, r Result, selectorErr error) (reason, message string) {
	counts := map[string]int{}
	chosen := 0
	for _, v := range r.Verdicts {
		if v.Outcome == Run || v.Outcome == Keep && v.Reason != v1.ReasonStray {
			chosen++
			continue
		}
		counts[v.Reason]++
	}
	total := len(in.Members)
	switch {
	case in.Deleting && in.Held == "":
		return v1.ReasonDeleting, "the MyApp is being deleted"
	case selectorErr != nil && in.Held == "":
		return v1.ReasonSelectorInvalid, selectorErr.Error()
	case chosen > 0:
		return v1.ReasonPlaced, fmt.Sprintf("%d of %d members chosen%s", chosen, max(total, chosen), rejected(counts))
	case in.Held != "":
		return v1.ReasonHubRestored, in.Held
	case in.Invalid != "":
		return v1.ReasonSpecInvalid, in.Invalid
	case in.Paused:
		return v1.ReasonPaused, "spec.paused is true: no member is chosen until it is false"
	case total == 0:
		return v1.ReasonNoMembers, "there is no MemberCluster: register one (kubectl get memberclusters)"
	case counts[v1.ReasonNoneReady] > 0:
		return v1.ReasonNoneReady, fmt.Sprintf("0 of %d members chosen%s: see kubectl get memberclusters -o wide", total, rejected(counts))
	default:
		return v1.ReasonNoMatch, fmt.Sprintf("0 of %d members chosen%s: see kubectl get memberclusters --show-labels", total, rejected(counts))
	}
}

func rejected(counts map[string]int) string {
	var parts []string
	if n := counts[v1.ReasonNotChosen]; n > 0 {
		parts = append(parts, fmt.Sprintf("%d do not match", n))
	}
	if n := counts[v1.ReasonNoneReady]; n > 0 {
		parts = append(parts, fmt.Sprintf("%d do not answer", n))
	}
	if len(parts) == 0 {
		return ""
	}
	return "; " + strings.Join(parts, ", ")
}
