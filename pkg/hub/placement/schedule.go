package placement

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	v1 "github.com/example/myapp-hub/api/v1"
)

// Input is all that decides a placement.
type Input struct {
	// Rules are the placement of the spec. They are needed.
	Rules *Rules
	// App names the MyApp: ties between members break by it. UID and Generation are its, too:
	// plans are told apart by them.
	App, UID   string
	Generation int64
	// Now is the time that tolerations and grace periods are measured by.
	Now time.Time
	// LeaderSince is when the hub that decides began to watch its members: what they did
	// not say before is not held against them.
	LeaderSince time.Time
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
	// Acknowledged is the hash of the plan that a person has acknowledged; empty if none.
	Acknowledged string
	// Lately are the members that the app was taken off in the last minutes, by decisions as
	// limit counts them: a slip may come in many small steps.
	Lately []string
	// Replicas is the number of pods on all members together, where they are divided.
	Replicas int32
	// Numbers are the pods on each member, where they are not divided.
	Numbers map[string]int32
	// Pod is what each pod requests.
	Pod Pod
	// Needs are the kinds of the app's objects, as in Member.APIs.
	Needs []string
	// Reserved is what members were just given, and what is free on them does not show yet.
	Reserved map[string]v1.Amounts
	// Members are all MemberClusters.
	Members []Member
	// Rows are what is recorded of the app.
	Rows []v1.PlacementRow
}

// Schedule gives one verdict for every member and every row.
//
// First each is judged by itself, by the first line that holds:
//
//	the hub is held               row: Keep     no row: Reject
//	the app is deleted            row: Remove   no row: Reject
//	the member is to be forgotten row: Remove   no row: Reject
//	the spec is not valid         row: Keep     no row: Reject
//	the app is paused             row: Keep     no row: Reject
//	the MemberCluster is missing  row: Keep
//	the placement is not valid    row: Keep     no row: Reject
//	the member leaves             row: Remove   no row: Reject
//	its allowedNamespaces are
//	not valid                     row: Keep     no row: Reject
//	the namespace's labels are
//	needed and not known          row: Keep     no row: Reject
//	the namespace is not allowed  row: Remove   no row: Reject
//	a stray, not matching         row: Keep
//	the expression fails          row: Keep     no row: Reject
//	name, labels, expression,
//	group or topology do not match row: Remove  no row: Reject
//	the member is not accepted    row: Keep     no row: Reject
//	the quota does not allow it   row: Keep     no row: Reject
//	a taint, a missing API, no
//	answer, too little room       row: may stay no row: Reject
//	otherwise                     may stay      may come
//
// Those that may stay or come are then looked at together: evict takes those that a
// taint makes leave, choose says which of the others run the app, and divide how many
// pods each of them runs. Last, keepWithinQuota lets nobody go who cannot go elsewhere,
// limit stops what looks like a slip, and gently lets nobody go before those that take over
// are ready.
func Schedule(in Input) Result { return planOf(&in).result() }

// planOf takes the steps in their order.
func planOf(in *Input) *plan {
	candidates := candidatesOf(in)
	for i := range candidates {
		c := &candidates[i]
		_ = c.byApp(in) || c.byOwner(in) || c.byState(in)
	}
	p := &plan{in: in, candidates: candidates}
	p.evict()
	p.choose()
	p.divide()
	p.keepWithinQuota()
	p.limit()
	p.gently()
	return p
}

// plan is a placement in the making.
type plan struct {
	in         *Input
	candidates []candidate // ordered by name
	// best are those that may run the app, in order; nil if that does not matter.
	best []int
	// next are those that would be chosen next, the best first.
	next []string
	// unplaced is how many replicas no member can run.
	unplaced int32
	// waiting are those that a taint makes leave, but for the budget.
	waiting []string
	// cutOff is true when so many members are silent that it may be the hub's own doing.
	cutOff bool
	// lost are the members that the app leaves by a decision that limit counts, and that
	// nobody has acknowledged.
	lost []string
	// asks is what the hub asks for before it goes on; empty if nothing.
	asks Question
	// wake is when time alone can change the plan; zero for never.
	wake time.Time
}

// contenders are the numbers of the candidates that may be chosen.
func (p *plan) contenders() []int {
	list := make([]int, 0, len(p.candidates))
	for i := range p.candidates {
		if !p.candidates[i].decided {
			list = append(list, i)
		}
	}
	return list
}

// wakeAt asks for another look at a time.
func (p *plan) wakeAt(t time.Time) {
	if t.After(p.in.Now) && (p.wake.IsZero() || t.Before(p.wake)) {
		p.wake = t
	}
}

func (p *plan) result() Result {
	r := Result{
		Verdicts: make([]Verdict, 0, len(p.candidates)), Next: p.next, Unplaced: p.unplaced,
		Lost: p.lost, Question: p.asks, CutOff: p.cutOff, Waiting: len(p.waiting), Wake: p.wake, WantsRoom: p.wantsRoom(),
	}
	for i := range p.candidates {
		r.Verdicts = append(r.Verdicts, p.candidates[i].verdict)
	}
	r.Reason, r.Message = summary(p.in, &r)
	return r
}

// candidatesOf are all members and rows, ordered by name: two ordered lists are merged,
// which needs no map.
func candidatesOf(in *Input) []candidate {
	members := ordered(in.Members, func(a, b *Member) int { return strings.Compare(a.Name, b.Name) })
	rows := ordered(in.Rows, func(a, b *v1.PlacementRow) int { return strings.Compare(a.Cluster, b.Cluster) })
	list := make([]candidate, 0, max(len(members), len(rows)))
	all, matching := len(members), in.Rules.match(members)
	for len(members) > 0 || len(rows) > 0 {
		var c candidate
		if len(rows) == 0 || len(members) > 0 && members[0].Name <= rows[0].Cluster {
			c.name = members[0].Name
		} else {
			c.name = rows[0].Cluster
		}
		for ; len(members) > 0 && members[0].Name == c.name; members = members[1:] {
			c.member, c.matching, c.index = &members[0], matching, all-len(members)
		}
		for ; len(rows) > 0 && rows[0].Cluster == c.name; rows = rows[1:] {
			c.row = &rows[0]
			c.stray = c.row.State == v1.PlacementStray
			c.placed = c.row.IsPlaced()
		}
		c.verdict.Cluster = c.name
		list = append(list, c)
	}
	return list
}

// ordered is a list in its order; one that has it already is not copied.
func ordered[T any](list []T, compare func(a, b *T) int) []T {
	for i := 1; i < len(list); i++ {
		if compare(&list[i], &list[i-1]) < 0 {
			list = slices.Clone(list)
			slices.SortStableFunc(list, func(a, b T) int { return compare(&a, &b) })
			break
		}
	}
	return list
}

// Compile makes a label selector of one of the API; nil chooses everything.
func Compile(c *v1.ClusterSelector) (labels.Selector, error) {
	if c == nil {
		return labels.Everything(), nil
	}
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
