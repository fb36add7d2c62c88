package placement

import (
	"cmp"
	"container/heap"
	"math"

	"k8s.io/apimachinery/pkg/labels"

	v1 "github.com/example/myapp-hub/api/v1"
)

// divide says how many pods each member that was chosen runs.
func (p *plan) divide() {
	if !p.in.Rules.divided {
		return
	}
	runs := p.runs()
	total := p.toDivide()
	shares := make([]share, len(runs))
	for n, i := range runs {
		shares[n] = p.shareOf(&p.candidates[i], total)
	}
	p.steady(runs, shares, total)
	rest := total
	for n := range shares {
		if s := &shares[n]; s.least > rest {
			s.least, s.most = 0, 0 // there are not enough for all of them
		}
		rest -= shares[n].least
	}
	p.unplaced = apportion(total, shares)
	for n, i := range runs {
		c := &p.candidates[i]
		c.wants = shares[n].is
		c.verdict.Replicas = c.wants
		switch {
		case c.wants > 0 || total == 0:
		case c.stray:
			c.keepStray()
		case c.placed:
			c.verdict.Message = "there are not enough replicas for " + c.name + " to run any"
		default:
			c.decide(Remove, v1.ReasonNoReplicas, "there are not enough replicas for "+c.name+" to run any")
		}
	}
}

// runs are the candidates that were chosen: those that run pods of the app first, then the
// best.
func (p *plan) runs() []int {
	runs := make([]int, 0, len(p.best))
	for _, withPods := range []bool{true, false} {
		for _, i := range p.best {
			if c := &p.candidates[i]; c.verdict.Outcome == Run && c.hasPods() == withPods {
				runs = append(runs, i)
			}
		}
	}
	return runs
}

func (c *candidate) hasPods() bool { return c.placed && c.row.Replicas > 0 }

// toDivide is what is left to divide when those that keep the app have theirs.
func (p *plan) toDivide() int32 {
	total := int64(p.in.Replicas)
	for i := range p.candidates {
		if c := &p.candidates[i]; c.placed && c.verdict.Outcome == Keep {
			total -= int64(c.row.Replicas)
		}
	}
	return int32(max(0, total))
}

// share is a part of what is divided.
type share struct {
	weight      int64
	least, most int32
	// had is how many pods it has now, which breaks ties before hash does.
	had  int32
	hash uint64
	is   int32
}

func (p *plan) shareOf(c *candidate, total int32) share {
	r := p.in.Rules
	s := share{weight: 1, least: r.min, most: min(p.most(c), total), hash: c.rank.hash}
	if c.placed {
		s.had = c.row.Replicas
	}
	switch r.division {
	case v1.DivideWeighted:
		for _, w := range r.weights {
			if w.selector.Matches(labels.Set(c.member.Labels)) {
				s.weight = int64(w.weight)
				break
			}
		}
	case v1.DivideFreeCapacity:
		room, _ := p.in.room(c.member)
		s.weight = room + int64(s.had)
	case v1.DivideEven:
	}
	if s.least > s.most && !c.placed {
		s.most = 0 // it has no room for the fewest; one that has the app keeps what it can
	}
	s.least = min(s.least, s.most)
	return s
}

// most is how many pods a member can run: as many as the placement allows, and where
// capacity counts, as it has room for beside those that are ready. It is never fewer than
// it was told to.
func (p *plan) most(c *candidate) int32 {
	r := p.in.Rules
	most := int32(math.MaxInt32)
	if r.max > 0 {
		most = r.max
	}
	if r.division != v1.DivideFreeCapacity && len(r.groups) == 0 {
		return most
	}
	has, ready := int32(0), int32(0)
	if c.placed {
		has, ready = c.row.Replicas, min(c.row.Replicas, c.row.ReadyReplicas)
	}
	room, known := p.in.room(c.member)
	switch {
	case known:
		// Pods that wait for room are not in what the member reports.
		return int32(min(int64(most), max(int64(has), room+int64(ready))))
	case r.division == v1.DivideFreeCapacity:
		return min(most, has)
	}
	return most
}

// steady keeps what is divided by free capacity where it is: capacity changes all the
// time, and pods are not to follow it. What comes is divided by what is free, and what
// goes is taken by that, too.
func (p *plan) steady(runs []int, shares []share, total int32) {
	if p.in.Rules.division != v1.DivideFreeCapacity {
		return
	}
	sum := int64(0)
	for _, i := range runs {
		if c := &p.candidates[i]; c.placed {
			sum += int64(c.row.Replicas)
		}
	}
	for n, i := range runs {
		has := int32(0)
		if c := &p.candidates[i]; c.placed {
			has = c.row.Replicas
		}
		if sum <= int64(total) {
			shares[n].least = max(shares[n].least, min(has, shares[n].most))
		} else {
			shares[n].most = max(shares[n].least, min(has, shares[n].most))
		}
	}
}

// apportion divides a total by weights, within the bounds of each share, and returns what
// is left over because all shares are full.
//
// Each pod goes where the weight per pod, counting the next as a half, is highest: the
// divisor method of Webster and Sainte-Laguë. It rounds like the method of largest
// remainders but for one thing, for which it was chosen: a share never gets smaller
// because the total grows, nor does a pod move between two members because a third comes
// or goes. So the fewest pods move.
func apportion(total int32, shares []share) (left int32) {
	rest := int64(total)
	var weights int64
	for n := range shares {
		s := &shares[n]
		s.is = int32(min(int64(s.least), rest))
		rest -= int64(s.is)
		weights += s.weight
	}
	if rest == 0 || weights == 0 {
		return int32(rest)
	}
	rest -= jump(rest, shares)
	q := queue{}
	for n := range shares {
		if s := &shares[n]; s.weight > 0 && s.is < s.most {
			q = append(q, s)
		}
	}
	heap.Init(&q)
	for ; rest > 0 && len(q) > 0; rest-- {
		q[0].is++
		if q[0].is < q[0].most {
			heap.Fix(&q, 0)
		} else {
			heap.Pop(&q)
		}
	}
	return int32(rest)
}

// jump gives at once what every share gets for certain: as many pods as come before a
// price that too many can pay. Bisection finds it; what is left is less than a pod or two
// for each share.
func jump(rest int64, shares []share) (given int64) {
	at := func(price float64, s *share) int32 {
		n := math.Floor((float64(s.weight)/price + 1) / 2)
		return int32(min(float64(s.most), max(float64(s.is), n)))
	}
	spent := func(price float64) (sum int64) {
		for n := range shares {
			if s := &shares[n]; s.weight > 0 {
				sum += int64(at(price, s) - s.is)
			}
		}
		return sum
	}
	dear := 0.0
	for n := range shares {
		dear = max(dear, float64(shares[n].weight))
	}
	dear *= 2
	cheap := dear
	for cheap > 1e-7 && spent(cheap) <= rest {
		dear, cheap = cheap, cheap/2
	}
	for range 40 {
		if middle := (dear + cheap) / 2; spent(middle) <= rest {
			dear = middle
		} else {
			cheap = middle
		}
	}
	// A little dearer, so that shares that can pay exactly the same are left to the queue.
	dear *= 1 + 1e-9
	for n := range shares {
		if s := &shares[n]; s.weight > 0 {
			is := at(dear, s)
			given += int64(is - s.is)
			s.is = is
		}
	}
	return given
}

// queue has the share on top that gets the next pod.
type queue []*share

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	a, b := q[i], q[j]
	// a.weight / (2·a.is + 1) > b.weight / (2·b.is + 1), without fractions.
	x, y := a.weight*(2*int64(b.is)+1), b.weight*(2*int64(a.is)+1)
	return cmp.Or(cmp.Compare(y, x), first(a.is < a.had, b.is < b.had), cmp.Compare(a.hash, b.hash)) < 0
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any) {
	if s, ok := x.(*share); ok {
		*q = append(*q, s)
	}
}
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
