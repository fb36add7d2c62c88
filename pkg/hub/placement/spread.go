package placement

import (
	"math"

	v1 "github.com/example/myapp-hub/api/v1"
)

// pick chooses up to want members of a pool that is in order, the best first.
//
// With spread constraints it begins with those that have the app, adds the best that the
// constraints allow, and only then drops one from a domain that has too many, until no
// constraint is violated. So a constraint that holds moves nothing.
func (p *plan) pick(pool []int, want int) choice {
	if len(p.in.Rules.spread) == 0 {
		return p.choiceOf(pool[:min(len(pool), want)])
	}
	s := newSpreading(p, pool)
	for n, i := range pool {
		if c := &p.candidates[i]; c.placed && !c.rank.lastResort && s.size < want {
			s.add(n)
		}
	}
	for range 2 * (len(pool) + 1) {
		s.fill(want)
		if !s.dropOne() {
			return p.choiceOf(s.chosen())
		}
	}
	// Constraints that work against each other: fewer members violate none.
	for s.dropOne() {
	}
	return p.choiceOf(s.chosen())
}

// spreading is a choice in the making. Members are known by their place in the pool.
type spreading struct {
	constraints []constraint
	classes     [][]int // members that are in the same domains, in order
	pool        []int
	class       []int // of each member
	in          []bool
	size        int
}

// constraint is a spread constraint and what is chosen so far.
type constraint struct {
	*v1.SpreadConstraint
	domain      []int // of each class
	count, left []int // of each domain: how many are chosen, and how many could be
}

func newSpreading(p *plan, pool []int) *spreading {
	s := &spreading{pool: pool, class: make([]int, len(pool)), in: make([]bool, len(pool))}
	known := make([]map[string]int, len(p.in.Rules.spread))
	for k := range p.in.Rules.spread {
		s.constraints = append(s.constraints, constraint{SpreadConstraint: &p.in.Rules.spread[k]})
		known[k] = map[string]int{}
	}
	classes := map[[maxSpread]int]int{}
	for n, i := range pool {
		var is [maxSpread]int
		for k := range s.constraints {
			c := &s.constraints[k]
			value := p.candidates[i].member.Labels[c.TopologyKey]
			d, ok := known[k][value]
			if !ok {
				d = len(c.count)
				known[k][value] = d
				c.count, c.left = append(c.count, 0), append(c.left, 0)
			}
			c.left[d]++
			is[k] = d
		}
		class, ok := classes[is]
		if !ok {
			class = len(s.classes)
			classes[is] = class
			s.classes = append(s.classes, nil)
			for k := range s.constraints {
				s.constraints[k].domain = append(s.constraints[k].domain, is[k])
			}
		}
		s.class[n] = class
		s.classes[class] = append(s.classes[class], n)
	}
	return s
}

// maxSpread is how many constraints the API admits.
const maxSpread = 4

func (s *spreading) add(n int)    { s.move(n, 1) }
func (s *spreading) remove(n int) { s.move(n, -1) }

func (s *spreading) move(n, by int) {
	s.in[n] = by > 0
	s.size += by
	for k := range s.constraints {
		c := &s.constraints[k]
		d := c.domain[s.class[n]]
		c.count[d] += by
		c.left[d] -= by
	}
}

func (s *spreading) chosen() []int {
	chosen := make([]int, 0, s.size)
	for n, in := range s.in {
		if in {
			chosen = append(chosen, s.pool[n])
		}
	}
	return chosen
}

// fill adds the best members that violate no constraint, as long as there are any.
func (s *spreading) fill(want int) {
	heads := make([]int, len(s.classes))
	for s.size < want {
		best, least := -1, math.MaxInt
		for class, members := range s.classes {
			for heads[class] < len(members) && s.in[members[heads[class]]] {
				heads[class]++
			}
			if heads[class] == len(members) {
				continue
			}
			n := members[heads[class]]
			hard, soft := s.excess(class)
			if !hard && (soft < least || soft == least && n < best) {
				best, least = n, soft
			}
		}
		if best < 0 {
			return
		}
		s.add(best)
	}
}

// excess says whether one more of a class violates a constraint, and by how much those
// that need not hold.
func (s *spreading) excess(class int) (hard bool, soft int) {
	for k := range s.constraints {
		c := &s.constraints[k]
		d := c.domain[class]
		c.count[d]++
		c.left[d]--
		over := c.count[d] - c.limit()
		c.count[d]--
		c.left[d]++
		switch {
		case over <= 0:
		case c.WhenUnsatisfiable == v1.ScheduleAnyway:
			soft += over
		default:
			hard = true
		}
	}
	return hard, soft
}

// limit is how many members a domain may have.
func (c *constraint) limit() int {
	fewest, domains := math.MaxInt, 0
	for d, n := range c.count {
		if n > 0 {
			domains++
		}
		if c.left[d] > 0 {
			fewest = min(fewest, n)
		}
	}
	skew := max(1, int(c.MaxSkew))
	if domains < int(value(c.MinDomains, 1)) {
		return skew
	}
	if fewest == math.MaxInt {
		return math.MaxInt // nothing is left to choose
	}
	return fewest + skew
}

// dropOne takes the last member out of a domain that has too many; it is false if none
// has.
func (s *spreading) dropOne() bool {
	for k := range s.constraints {
		c := &s.constraints[k]
		if c.WhenUnsatisfiable == v1.ScheduleAnyway {
			continue
		}
		limit := c.limit()
		for n := len(s.in) - 1; n >= 0; n-- {
			if s.in[n] && c.count[c.domain[s.class[n]]] > limit {
				s.remove(n)
				return true
			}
		}
	}
	return false
}
