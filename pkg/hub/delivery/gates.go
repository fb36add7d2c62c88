package delivery

import (
	"sync"
	"sync/atomic"

	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"

	"github.com/example/myapp-hub/pkg/agent/apply"
)

// slotsPerMember is how many requests work on one member at the same time.
const slotsPerMember = 8

// link is a Push member that can be worked on: connected, and its cache synced.
type link struct {
	engine *apply.Engine
	// suspect tells the connection that a request found the member silent.
	suspect func()
	// looked is true once all that is on the member was looked at for signs that
	// the hub was restored. Nothing is written before.
	looked atomic.Bool
}

// gates decides for each member whether a request may work on it now. It does
// no I/O and never waits.
type gates struct {
	mu      sync.Mutex
	members map[string]*gate
}

type gate struct {
	link *link // nil while the member cannot be worked on
	// note says why a connected member cannot be worked on for so long.
	note string
	busy int
	// parked are in the order in which they came; before them go those that the member
	// has said something about: they seldom cost a request, and an app gets Ready by
	// them.
	spoken, parked fifo
	// heard are requests that the member has said something about since they were let
	// in last.
	heard map[mcreconcile.Request]struct{}
}

func (g *gate) waiting() int { return g.spoken.len() + g.parked.len() }

// park puts a request where it belongs.
func (g *gate) park(req mcreconcile.Request) {
	if _, heard := g.heard[req]; heard {
		g.parked.drop(req)
		g.spoken.add(req)
	} else if !g.spoken.has(req) {
		g.parked.add(req)
	}
}

func newGates() *gates { return &gates{members: map[string]*gate{}} }

func (g *gates) at(member string) *gate {
	if g.members[member] == nil {
		g.members[member] = &gate{}
	}
	return g.members[member]
}

// enter takes a slot of the request's member. Without one the request is parked,
// and no link but the note about the member is returned.
func (g *gates) enter(req mcreconcile.Request) (l *link, note string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gate := g.at(string(req.ClusterName))
	if gate.link == nil || gate.busy >= slotsPerMember {
		gate.park(req)
		return nil, gate.note
	}
	delete(gate.heard, req)
	gate.busy++
	return gate.link, ""
}

// hear notes that the member has said something about a request, which is about to
// enter.
func (g *gates) hear(req mcreconcile.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gate := g.at(string(req.ClusterName))
	if gate.heard == nil {
		gate.heard = map[mcreconcile.Request]struct{}{}
	}
	gate.heard[req] = struct{}{}
}

// explain notes why a member cannot be worked on, and returns the requests that
// are parked for it, which stay so.
func (g *gates) explain(member, note string) []mcreconcile.Request {
	g.mu.Lock()
	defer g.mu.Unlock()
	gate := g.at(member)
	gate.note = note
	return append(gate.spoken.all(), gate.parked.all()...)
}

// leave gives the slot back and returns a parked request that may now be tried.
func (g *gates) leave(member string) (mcreconcile.Request, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gate := g.at(member)
	gate.busy--
	defer g.forgetIdle(member)
	return gate.next()
}

// next takes a parked request that may now be tried. The lock is held.
func (g *gate) next() (mcreconcile.Request, bool) {
	if g.link == nil || g.busy >= slotsPerMember {
		return mcreconcile.Request{}, false
	}
	if req, ok := g.spoken.next(); ok {
		return req, true
	}
	return g.parked.next()
}

// open lets requests work on a member and returns those that were parked.
func (g *gates) open(member string, l *link) []mcreconcile.Request {
	g.mu.Lock()
	defer g.mu.Unlock()
	gate := g.at(member)
	gate.link, gate.note = l, ""
	parked := append(gate.spoken.all(), gate.parked.all()...)
	gate.spoken, gate.parked = fifo{}, fifo{}
	return parked
}

// close ends work on a member, unless another link has taken the place of l.
// ended is called if it did, before another link can come.
func (g *gates) close(member string, l *link, ended func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gate := g.at(member)
	if gate.link == l {
		gate.link = nil
		ended()
	}
	gate.note = ""
	g.forgetIdle(member)
}

// drop forgets a request that has nothing left to do. It may have been given the
// place of another: that one is returned, as by leave.
func (g *gates) drop(req mcreconcile.Request) (mcreconcile.Request, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gate := g.members[string(req.ClusterName)]
	if gate == nil {
		return mcreconcile.Request{}, false
	}
	gate.spoken.drop(req)
	gate.parked.drop(req)
	delete(gate.heard, req)
	defer g.forgetIdle(string(req.ClusterName))
	return gate.next()
}

// parked is the number of parked requests.
func (g *gates) parked() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, gate := range g.members {
		n += gate.waiting()
	}
	return n
}

// forgetIdle drops the entry of a member that holds nothing. The lock is held.
func (g *gates) forgetIdle(member string) {
	if gate := g.members[member]; gate.link == nil && gate.note == "" && gate.busy == 0 && gate.waiting() == 0 && len(gate.heard) == 0 {
		delete(g.members, member)
	}
}
