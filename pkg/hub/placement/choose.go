package placement

import (
	"cmp"
	"hash/fnv"
	"math"
	"slices"

	"k8s.io/apimachinery/pkg/labels"

	v1 "github.com/example/myapp-hub/api/v1"
)

// mostNext is how many of those that would be chosen next are named.
const mostNext = 3

// rank orders those that may be chosen.
type rank struct {
	// due: the member has the app, and the time for which it may be there is over.
	due bool
	// lastResort: the member has the app and is to be left if another can take over.
	lastResort bool
	// unwelcome is how many taints with PreferNoSchedule are not tolerated.
	unwelcome int
	score     int32
	// hash breaks ties, differently for each app: so apps spread over members that are
	// alike.
	hash uint64
}

// choose says which of those that may run the app do.
//
// Without a number and groups that is everyone. Otherwise those that have the app come
// first, in an earlier group first unless the app does not fail back, and then those with
// the higher score: the weights of the preferences that are for the member, less 100 for
// each taint with PreferNoSchedule, and one more for each
// tenth of the member that is free.
func (p *plan) choose() {
	r, contenders := p.in.Rules, p.contenders()
	if !r.takesOver() {
		for _, i := range contenders {
			p.run(i)
		}
		return
	}
	p.order(contenders)
	chosen := p.fromGroups(contenders)
	for _, i := range contenders {
		if chosen.in[i] || p.waits(&p.candidates[i]) {
			p.run(i)
		} else {
			p.pass(i)
		}
	}
}

// asOne is true if the app moves from group to group as a whole.
func (r *Rules) asOne() bool { return r.number == 0 && !r.divided }

// waits is true for a member that an app which has moved to another group is to leave,
// once the budget allows it.
func (p *plan) waits(c *candidate) bool {
	return p.in.Rules.asOne() && c.rank.due && !c.rank.lastResort
}

// run decides that a member runs the app.
func (p *plan) run(i int) {
	c := &p.candidates[i]
	c.decided = true
	c.wants = p.in.Numbers[c.name]
	c.verdict.Replicas = c.wants
	c.verdict.Outcome, c.verdict.Reason, c.verdict.Message = Run, v1.ReasonPlaced, c.name+" matches and is ready"
	if !c.member.Ready {
		c.verdict.Reason, c.verdict.Message = v1.ReasonNoneReady, c.name+" does not answer"
	}
}

// pass decides that a member that could run the app does not.
func (p *plan) pass(i int) {
	c := &p.candidates[i]
	switch {
	case c.rank.lastResort:
		c.decide(Remove, v1.ReasonEvicted, evictionMessage(c.name, c.evicted))
		return
	case c.stray:
		c.keepStray()
		return
	}
	r := p.in.Rules
	message := c.name + " would do, but others have the app that were there before or come first"
	switch {
	case r.asOne():
		message = c.name + " is in group " + r.groups[c.group].name + " of spec.placement.groups, and another group has the app"
	case len(r.spread) > 0:
		message += ", as spec.placement.spread allows it"
	case c.row == nil && len(p.next) < mostNext:
		p.next = append(p.next, c.name)
	}
	c.leave(v1.ReasonNotNeeded, message)
}

func (p *plan) rankOf(c *candidate) rank {
	k := c.rank
	for _, w := range p.in.Rules.preferences {
		if w.selector.Matches(labels.Set(c.member.Labels)) {
			k.score += w.weight
		}
	}
	k.score += c.member.freeTenths() - int32(min(k.unwelcome, 100))*100
	h := fnv.New64a()
	h.Write([]byte(p.in.App + "/" + c.name))
	k.hash = h.Sum64()
	return k
}

// freeTenths is how much of a member is free, in tenths, rounded so that few reports
// change it: of CPU or memory, whatever is scarcer.
func (m *Member) freeTenths() int32 {
	if m.Free == nil || m.Allocatable == nil {
		return 0
	}
	tenths := func(free, all int64) int64 {
		if all <= 0 {
			return 0
		}
		return min(10, free*10/all)
	}
	return int32(min(tenths(m.Free.CPUMillis, m.Allocatable.CPUMillis), tenths(m.Free.MemoryMiB, m.Allocatable.MemoryMiB)))
}

// place is where a contender comes in their order: by key, and then by hash.
type place struct {
	key, hash uint64
	i         int
}

// order puts contenders in order, the best first.
func (p *plan) order(contenders []int) {
	places := make([]place, len(contenders))
	for n, i := range contenders {
		c := &p.candidates[i]
		c.rank = p.rankOf(c)
		places[n] = place{c.key(p.in.Rules.failBack), c.rank.hash, i}
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.hash, b.hash), cmp.Compare(a.i, b.i))
	})
	for n := range places {
		contenders[n] = places[n].i
	}
	p.best = contenders
}

// key has what orders contenders in its bits, what matters most in the highest.
func (c *candidate) key(failBack v1.FailBackPolicy) uint64 {
	bit := func(is bool) uint64 {
		if is {
			return 1
		}
		return 0
	}
	group, newcomer := uint64(c.group), bit(!c.placed) //nolint:gosec // there are eight groups
	key := bit(c.rank.lastResort)
	if failBack == v1.FailBackNever {
		key = key<<8 | newcomer<<4 | group
	} else {
		key = key<<8 | group<<1 | newcomer
	}
	key = key<<1 | bit(c.leaving())
	key = key<<1 | bit(!c.member.Ready)
	return key<<32 | uint64(uint32(-c.rank.score)) ^ 1<<31 //nolint:gosec // the higher score first, whatever its sign
}

// first orders what is true before what is not.
func first(x, y bool) int {
	switch {
	case x == y:
		return 0
	case x:
		return -1
	}
	return 1
}

// choice are the candidates that were chosen.
type choice struct {
	list []int
	in   []bool // of each candidate
}

func (p *plan) choiceOf(list []int) choice {
	c := choice{list: list, in: make([]bool, len(p.candidates))}
	for _, i := range list {
		c.in[i] = true
	}
	return c
}

// fromGroups chooses from the groups in their order, until they can hold the app.
func (p *plan) fromGroups(contenders []int) choice {
	r := p.in.Rules
	want := math.MaxInt
	if r.number > 0 {
		want = max(0, r.number-p.occupied())
	}
	best := p.choiceOf(nil)
	for g := p.firstGroup(contenders); g < max(1, len(r.groups)); g++ {
		pool := make([]int, 0, len(contenders))
		for _, i := range contenders {
			if c := &p.candidates[i]; p.inPool(c, g) {
				pool = append(pool, i)
			}
		}
		chosen := p.relieve(p.pick(pool, want))
		if p.holds(chosen, want) {
			return chosen
		}
		// Who cannot hold all of it is better than nobody.
		if len(chosen.list) > 0 && (len(best.list) == 0 || !r.asOne()) {
			best = chosen
		}
	}
	return best
}

// relieve takes those out that are to be left, where others are there to take over. With a
// number they are chosen only if there is nobody else.
func (p *plan) relieve(chosen choice) choice {
	if r := p.in.Rules; r.number > 0 || !r.divided {
		return chosen
	}
	others := slices.DeleteFunc(slices.Clone(chosen.list), func(i int) bool { return p.candidates[i].rank.lastResort })
	if len(others) == 0 {
		return chosen
	}
	return p.choiceOf(others)
}

// inPool is true if a member may be chosen while group g is the last that is asked.
func (p *plan) inPool(c *candidate, g int) bool {
	r := p.in.Rules
	switch {
	case r.asOne():
		return c.group == g
	case r.failBack == v1.FailBackNever && c.placed:
		return true
	}
	return c.group <= g
}

// firstGroup is the group that is asked first: that in which the app is, if it moves as a
// whole and does not go back by itself.
func (p *plan) firstGroup(contenders []int) int {
	if r := p.in.Rules; r.failBack != v1.FailBackNever || !r.asOne() {
		return 0
	}
	is := math.MaxInt
	for _, i := range contenders {
		if c := &p.candidates[i]; c.placed && !c.rank.due && !c.leaving() {
			is = min(is, c.group)
		}
	}
	if is == math.MaxInt {
		return 0
	}
	return is
}

// occupied is how many members keep the app and cannot be asked about it.
func (p *plan) occupied() int {
	n := 0
	for i := range p.candidates {
		if c := &p.candidates[i]; c.placed && c.verdict.Outcome == Keep {
			n++
		}
	}
	return n
}

// holds is true if those that are chosen can hold the app.
func (p *plan) holds(chosen choice, want int) bool {
	r := p.in.Rules
	switch {
	case want == 0:
		return true
	case r.number > 0 && len(chosen.list) < want, len(chosen.list) == 0:
		return false
	case r.asOne():
		for _, i := range chosen.list {
			if !p.candidates[i].rank.due {
				return true
			}
		}
		return false
	case !r.divided:
		return true
	}
	room := int64(0)
	for _, i := range chosen.list {
		room += int64(p.most(&p.candidates[i]))
	}
	return room >= int64(p.toDivide())
}
