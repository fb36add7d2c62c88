package delivery

import (
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/types"
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
	// parked are the requests that wait, by urgency and in the order in which they came.
	parked [urgencies]fifo
	// urgent are the requests that are more than routine, until they are let in.
	urgent map[mcreconcile.Request]urgency
	// backlog are apps to be looked at for no reason of their own, after all that is
	// parked. A member that has come up has many: they are no requests before their turn.
	backlog []types.NamespacedName
}

// urgency is how soon a request has its turn.
type urgency int

const (
	// spoken: the member has said something. It seldom costs a request, and an app gets
	// Ready by it.
	spoken urgency = iota
	// decided: something else is to be done than before.
	decided
	routine

	urgencies
)

func (g *gate) waiting() int {
	n := len(g.backlog)
	for i := range g.parked {
		n += g.parked[i].len()
	}
	return n
}

// park puts a request where it belongs.
func (g *gate) park(req mcreconcile.Request) {
	at, urgent := g.urgent[req]
	if !urgent {
		at = routine
	}
	for other := range urgencies {
		switch {
		case other < at && g.parked[other].has(req):
			return
		case other > at:
			g.parked[other].drop(req)
		}
	}
	g.parked[at].add(req)
}

// drop forgets a request.
func (g *gate) drop(req mcreconcile.Request) {
	for i := range g.parked {
		g.parked[i].drop(req)
	}
	delete(g.urgent, req)
}

// next takes a request that may now be tried, if one waits for that.
func (g *gate) next(member string) (mcreconcile.Request, bool) {
	if g.link == nil || g.busy >= slotsPerMember {
		return mcreconcile.Request{}, false
	}
	for i := range g.parked {
		if req, ok := g.parked[i].next(); ok {
			return req, true
		}
	}
	if len(g.backlog) == 0 {
		return mcreconcile.Request{}, false
	}
	app := g.backlog[0]
	if g.backlog = g.backlog[1:]; len(g.backlog) == 0 {
		g.backlog = nil // and what it was a part of
	}
	return request(member, app), true
}

// unpark takes all that are parked.
func (g *gate) unpark() []mcreconcile.Request {
	var all []mcreconcile.Request
	for i := range g.parked {
		all = append(all, g.parked[i].all()...)
		g.parked[i] = fifo{}
	}
	return all
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
	delete(gate.urgent, req)
	gate.busy++
	return gate.link, ""
}

// hear notes how urgent a request is that is about to enter.
func (g *gates) hear(req mcreconcile.Request, how urgency) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gate := g.at(string(req.ClusterName))
	if gate.urgent == nil {
		gate.urgent = map[mcreconcile.Request]urgency{}
	}
	if before, known := gate.urgent[req]; !known || how < before {
		gate.urgent[req] = how
	}
}

// isUrgent is true for a request that is more than routine, until it is let in.
func (g *gates) isUrgent(req mcreconcile.Request) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	gate := g.members[string(req.ClusterName)]
	if gate == nil {
		return false
	}
	_, urgent := gate.urgent[req]
	return urgent
}

// explain notes why a member cannot be worked on.
func (g *gates) explain(member, note string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at(member).note = note
}

// refill has all of a member's apps looked at, each in its turn. It returns those
// whose turn it is now, and false if the member cannot be worked on.
func (g *gates) refill(member string, apps []types.NamespacedName) (now []mcreconcile.Request, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gate := g.members[member]
	if gate == nil || gate.link == nil {
		return nil, false
	}
	gate.backlog = apps
	for range slotsPerMember - gate.busy {
		if req, ok := gate.next(member); ok {
			now = append(now, req)
		}
	}
	return now, true
}

// leave gives the slot back and returns a parked request that may now be tried.
func (g *gates) leave(member string) (mcreconcile.Request, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gate := g.at(member)
	gate.busy--
	defer g.forgetIdle(member)
	return gate.next(member)
}

// open lets requests work on a member and returns those that were parked.
func (g *gates) open(member string, l *link) []mcreconcile.Request {
	g.mu.Lock()
	defer g.mu.Unlock()
	gate := g.at(member)
	gate.link, gate.note = l, ""
	return gate.unpark()
}

// close ends work on a member, unless another link has taken the place of l.
// ended is called if it did, before another link can come.
func (g *gates) close(member string, l *link, ended func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gate := g.at(member)
	if gate.link == l {
		gate.link, gate.backlog = nil, nil
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
	gate.drop(req)
	defer g.forgetIdle(string(req.ClusterName))
	return gate.next(string(req.ClusterName))
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
	if gate := g.members[member]; gate.link == nil && gate.note == "" && gate.busy == 0 && gate.waiting() == 0 && len(gate.urgent) == 0 {
		delete(g.members, member)
	}
}
