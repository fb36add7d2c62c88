package placement

import (
	"errors"
	"slices"

	"k8s.io/apimachinery/pkg/labels"

	v1 "github.com/example/myapp-hub/api/v1"
)

// matching is what the rules say of each member of a fleet, in two bytes. Passes come with
// every report, and fleets and specs change seldom: expressions are evaluated once.
type matching struct {
	// members are the fleet. Nobody changes it, so the same slice is the same fleet.
	members []Member
	says    []said
	// errors are of those for which the expression has no value.
	errors map[int]string
	// tooDear is for how many it costs more than it may.
	tooDear int
}

// said is what the rules say of one member.
type said struct {
	why   why
	group int8
}

// why is why the rules do not admit a member.
type why int8

const (
	admitted why = iota
	nameDiffers
	labelsDiffer
	expressionFalse
	expressionFails
	inNoGroup
	topologyMissing
)

// mostTooDear is for how many members an expression may cost too much before it is taken for
// one that does for all.
const mostTooDear = 100

// match looks at every member, or remembers.
func (r *Rules) match(members []Member) *matching {
	if known := r.last.Load(); known != nil && same(known.members, members) {
		return known
	}
	m := &matching{members: members, says: make([]said, len(members))}
	if r.err != nil {
		return m // which is not asked
	}
	for i := range members {
		m.says[i] = r.say(&members[i], m, i)
	}
	r.last.Store(m)
	return m
}

func same(a, b []Member) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

func (r *Rules) say(is *Member, m *matching, i int) said {
	switch {
	case !listed(r.names, is.Name):
		return said{why: nameDiffers}
	case !r.selector.Matches(labels.Set(is.Labels)):
		return said{why: labelsDiffer}
	}
	group := r.groupOf(is)
	switch {
	case group < 0:
		return said{why: inNoGroup}
	case r.topologyMissing(is) != "":
		return said{why: topologyMissing}
	}
	return said{why: r.evaluate(is, m, i), group: int8(group)} //nolint:gosec // the API admits eight
}

func (r *Rules) evaluate(is *Member, m *matching, i int) why {
	if r.expression == nil {
		return admitted
	}
	if m.errors == nil {
		m.errors = map[int]string{}
	}
	if m.tooDear >= mostTooDear {
		return expressionFails
	}
	matches, err := r.expression.Matches(is)
	switch {
	case err != nil:
		m.errors[i] = err.Error()
		if errors.Is(err, errTooDear) {
			m.tooDear++
		}
		return expressionFails
	case !matches:
		return expressionFalse
	}
	return admitted
}

// groupOf is the number of a member's group, -1 if it is in none. Without groups all
// members are in one.
func (r *Rules) groupOf(m *Member) int {
	if len(r.groups) == 0 {
		return 0
	}
	return slices.IndexFunc(r.groups, func(g group) bool {
		return listed(g.names, m.Name) && g.selector.Matches(labels.Set(m.Labels))
	})
}

// topologyMissing is the first label that a spread asks for and the member does not have.
func (r *Rules) topologyMissing(m *Member) string {
	for i := range r.spread {
		if s := &r.spread[i]; s.WhenUnsatisfiable != v1.ScheduleAnyway && m.Labels[s.TopologyKey] == "" {
			return s.TopologyKey
		}
	}
	return ""
}

// mismatch is why the rules do not admit member i; reason is empty if they do.
func (r *Rules) mismatch(m *matching, i int) (reason, message string) {
	is := &m.members[i]
	switch m.says[i].why {
	case nameDiffers:
		return v1.ReasonNameMismatch, is.Name + " is not among spec.placement.clusterNames"
	case labelsDiffer:
		return v1.ReasonNotChosen, "the labels of " + is.Name + " do not match spec.placement.clusterSelector"
	case expressionFalse:
		return v1.ReasonExpressionFalse, "spec.placement.expression is false for " + is.Name
	case expressionFails:
		says := m.errors[i]
		if says == "" {
			says = "it costs too much"
		}
		return v1.ReasonExpressionFailed, "spec.placement.expression cannot be told for " + is.Name + ": " + says
	case inNoGroup:
		return v1.ReasonNoGroup, is.Name + " is in none of spec.placement.groups"
	case topologyMissing:
		return v1.ReasonTopologyMissing, is.Name + " has no label " + r.topologyMissing(is) + ", by which spec.placement.spread keeps members apart"
	case admitted:
	}
	return "", ""
}
