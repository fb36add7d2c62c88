package placement

import (
	"fmt"
	"iter"
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
	// Namespaces are those of the hub whose apps may be placed on the member; nil for all.
	Namespaces labels.Selector
	// NamespacesInvalid says what is wrong with those; empty if nothing is.
	NamespacesInvalid string
	// Accepted is true when apps may be placed on the member.
	Accepted bool
	// Leaving is not empty when all apps are to leave the member.
	Leaving v1.LeavePolicy
	// Ready is true when the member answers.
	Ready bool
}

// Input is all that decides a placement.
type Input struct {
	Placement *v1.Placement
	// Namespace are the labels of the app's namespace; nil if they are not known.
	Namespace labels.Set
	// Held says why the hub changes nothing for any app; empty if it does.
	Held string
	// Deleting is true once the MyApp has a deletionTimestamp.
	Deleting bool
	// Invalid says what is wrong with the spec; empty if nothing is.
	Invalid string
	// Exceeded says what a quota of the namespace does not allow; empty if it allows all.
	Exceeded string
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
//	the member is to be forgotten row: Remove   no row: Reject
//	the spec is not valid         row: Keep     no row: Reject
//	the app is paused             row: Keep     no row: Reject
//	the MemberCluster is missing  row: Keep
//	the selector is not valid     row: Keep     no row: Reject
//	the member leaves             row: Remove   no row: Reject
//	its allowedNamespaces are
//	not valid                     row: Keep     no row: Reject
//	the namespace's labels are
//	needed and not known          row: Keep     no row: Reject
//	the namespace is not allowed  row: Remove   no row: Reject
//	a stray, not matching         row: Keep
//	the labels do not match       row: Remove   no row: Reject
//	the member is not accepted    row: Keep     no row: Reject
//	the quota does not allow it   row: Keep     no row: Reject
//	the member is not ready       row: Run      no row: Reject
//	otherwise                     Run
func Schedule(in Input) Result {
	selector, err := Selector(in.Placement)
	r := Result{Verdicts: make([]Verdict, 0, max(len(in.Members), len(in.Placed)))}
	for c := range candidates(in) {
		v := Verdict{Cluster: c.name}
		if !v.byApp(&in, c) {
			v.byMember(&in, c, selector, err)
		}
		r.Verdicts = append(r.Verdicts, v)
	}
	r.Reason, r.Message = summary(in, r, err)
	return r
}

// byApp is the part of the table that holds for all members, and the one that comes
// before a part of it. It is false if no line of it holds.
func (v *Verdict) byApp(in *Input, c candidate) bool {
	switch {
	case in.Held != "":
		v.decide(c.placed, Keep, v1.ReasonHubRestored, in.Held)
	case in.Deleting:
		v.decide(c.placed, Remove, v1.ReasonDeleting, "the MyApp is being deleted")
	case c.member != nil && c.member.Leaving == v1.LeaveForget:
		v.decide(c.placed, Remove, v1.ReasonMemberLeaving, "spec.leave of MemberCluster "+c.name+" says to forget it")
	case in.Invalid != "":
		v.decide(c.placed, Keep, v1.ReasonSpecInvalid, in.Invalid)
	case in.Paused:
		v.decide(c.placed, Keep, v1.ReasonPaused, "spec.paused is true")
	default:
		return false
	}
	return true
}

// byMember is the rest of the table.
func (v *Verdict) byMember(in *Input, c candidate, selector labels.Selector, err error) {
	matches := err == nil && c.member != nil && selector.Matches(labels.Set(c.member.Labels))
	switch {
	case c.member == nil:
		v.decide(c.placed, Keep, v1.ReasonMemberGone, "MemberCluster "+c.name+" does not exist")
	case err != nil:
		v.decide(c.placed, Keep, v1.ReasonSelectorInvalid, err.Error())
	case c.member.Leaving != "":
		v.decide(c.placed, Remove, v1.ReasonMemberLeaving, "spec.leave of MemberCluster "+c.name+" says that apps leave it")
	case c.member.NamespacesInvalid != "":
		v.decide(c.placed, Keep, v1.ReasonNamespaceNotAllowed, "spec.allowedNamespaces of MemberCluster "+c.name+" cannot be used: "+c.member.NamespacesInvalid)
	case c.member.Namespaces != nil && in.Namespace == nil:
		v.decide(c.placed, Keep, v1.ReasonNamespaceNotAllowed, "the labels of the app's namespace, which "+c.name+" asks for, are not known")
	case c.member.Namespaces != nil && !c.member.Namespaces.Matches(in.Namespace):
		v.decide(c.placed, Remove, v1.ReasonNamespaceNotAllowed, "spec.allowedNamespaces of MemberCluster "+c.name+" does not choose the app's namespace")
	case c.stray && !matches:
		v.decide(c.placed, Keep, v1.ReasonStray, "objects of this app are on "+c.name+" that no decision explains; they are left alone")
	case !matches:
		v.decide(c.placed, Remove, v1.ReasonNotChosen, "the labels of "+c.name+" do not match spec.placement.clusterSelector")
	case !c.member.Accepted:
		v.decide(c.placed, Keep, v1.ReasonNotAccepted, c.name+" is not accepted, see kubectl myapp accept "+c.name)
	case in.Exceeded != "":
		v.decide(c.placed, Keep, v1.ReasonQuotaExceeded, in.Exceeded)
	case !c.member.Ready:
		v.decide(c.placed, Run, v1.ReasonNoneReady, c.name+" does not answer")
	default:
		v.Outcome, v.Reason, v.Message = Run, v1.ReasonPlaced, c.name+" matches and is ready"
	}
}

// Selector is the label selector of a placement; a nil placement or selector
// chooses every member.
func Selector(p *v1.Placement) (labels.Selector, error) {
	if p == nil || p.ClusterSelector == nil {
		return labels.Everything(), nil
	}
	selector, err := Compile(p.ClusterSelector)
	if err != nil {
		return nil, fmt.Errorf("spec.placement.clusterSelector cannot be used: %w", err)
	}
	return selector, nil
}

// Compile makes a label selector of one of the API.
func Compile(c *v1.ClusterSelector) (labels.Selector, error) {
	s := &metav1.LabelSelector{MatchLabels: map[string]string{}}
	for k, v := range c.MatchLabels {
		s.MatchLabels[k] = string(v)
	}
	for _, e := range c.MatchExpressions {
		r := metav1.LabelSelectorRequirement{Key: e.Key, Operator: e.Operator}
		for _, v := range e.Values {
			r.Values = append(r.Values, string(v))
		}
		s.MatchExpressions = append(s.MatchExpressions, r)
	}
	return metav1.LabelSelectorAsSelector(s)
}

func (v *Verdict) decide(placed bool, ifPlaced Outcome, reason, message string) {
	v.Outcome, v.Reason, v.Message = Reject, reason, message
	if placed {
		v.Outcome = ifPlaced
	}
}

// candidate is a member or a row, or both.
type candidate struct {
	name          string
	member        *Member // nil if there is only a row
	placed, stray bool
}

// candidates are all members and rows, ordered by name: two ordered lists are
// merged, which needs no map.
func candidates(in Input) iter.Seq[candidate] {
	members := ordered(in.Members, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	placed := ordered(in.Placed, strings.Compare)
	strays := ordered(in.Strays, strings.Compare)
	return func(yield func(candidate) bool) {
		members, placed := members, placed
		for len(members) > 0 || len(placed) > 0 {
			var c candidate
			if len(placed) == 0 || len(members) > 0 && members[0].Name <= placed[0] {
				c.name = members[0].Name
			} else {
				c.name = placed[0]
			}
			for ; len(members) > 0 && members[0].Name == c.name; members = members[1:] {
				c.member = &members[0]
			}
			for ; len(placed) > 0 && placed[0] == c.name; placed = placed[1:] {
				c.placed = true
			}
			_, c.stray = slices.BinarySearch(strays, c.name)
			if !yield(c) {
				return
			}
		}
	}
}

// ordered is a list in its order; one that has it already is not copied.
func ordered[T any](list []T, compare func(a, b T) int) []T {
	if slices.IsSortedFunc(list, compare) {
		return list
	}
	list = slices.Clone(list)
	slices.SortStableFunc(list, compare)
	return list
}

func summary(in Input, r Result, selectorErr error) (reason, message string) {
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
	case selectorErr != nil && in.Held == "":
		return v1.ReasonSelectorInvalid, selectorErr.Error()
	case chosen > 0:
		return v1.ReasonPlaced, fmt.Sprintf("%d of %d members chosen%s", chosen, max(total, chosen), rejected)
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
	default:
		return v1.ReasonNoMatch, fmt.Sprintf("0 of %d members chosen%s: see kubectl get memberclusters --show-labels", total, rejected)
	}
}

// rejected says why members were not chosen, and how many.
func rejected(reasons map[string]int) string {
	var parts []string
	for _, r := range []struct{ reason, says string }{
		{v1.ReasonNotChosen, "do not match"},
		{v1.ReasonNamespaceNotAllowed, "do not allow the namespace"},
		{v1.ReasonMemberLeaving, "are leaving"},
		{v1.ReasonNotAccepted, "are not accepted"},
		{v1.ReasonNoneReady, "do not answer"},
	} {
		if n := reasons[r.reason]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, r.says))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "; " + strings.Join(parts, ", ")
}
