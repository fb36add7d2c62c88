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
	// turns counts the requests that were given a turn.
	turns int
}

// fairTurn is how often it is the turn of the least urgent: those that are more urgent
// may never end.
const fairTurn = 8

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
	g.turns++
	if g.turns%fairTurn == 0 {
		if req, ok := g.nextOfBacklog(member); ok {
			return req, true
		}
		for i := len(g.parked) - 1; i >= 0; i-- {
			if req, ok := g.parked[i].next(); ok {
				return req, true
			}
		}
	}
	for i := range g.parked {
		if req, ok := g.parked[i].next(); ok {
			return req, true
		}
	}
	return g.nextOfBacklog(member)
}

func (g *gate) nextOfBacklog(member string) (mcreconcile.Request, bool) {
	if len(g.backlog) == 0 {
		return mcreconcile.Request{}, false
	}
	app := g.backlog[0]
	if g.backlog = g.backlog[1:]; len(g.backlog) == 0 {
		g.backlog = nil // and what it was a part of
	}
	return request(member, app), true
}

// nextOnes takes as many requests as there are free slots.
func (g *gate) nextOnes(member string) []mcreconcile.Request {
	var now []mcreconcile.Request
	for range slotsPerMember - g.busy {
		req, ok := g.next(member)
		if !ok {
			break
		}
		now = append(now, req)
	}
	return now
}

// addBacklog puts apps behind those that are in the backlog already.
func (g *gate) addBacklog(member string, apps []types.NamespacedName) {
	waits := make(map[types.NamespacedName]struct{}, len(g.backlog))
	for _, app := range g.backlog {
		waits[app] = struct{}{}
	}
	for _, app := range apps {
		_, known := waits[app]
		for i := range g.parked {
			known = known || g.parked[i].has(request(member, app))
		}
		if !known {
			g.backlog = append(g.backlog, app)
		}
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
		if gate.link != nil {
			return nil, "" // it only has to wait for its turn
		}
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

// hasSpoken is true for a request about which the member has said something, until it
// is let in.
func (g *gates) hasSpoken(req mcreconcile.Request) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	gate := g.members[string(req.ClusterName)]
	if gate == nil {
		return false
	}
	how, urgent := gate.urgent[req]
	return urgent && how == spoken
}

// explain notes why a member cannot be worked on, if it cannot.
func (g *gates) explain(member, note string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if gate := g.at(member); gate.link == nil {
		gate.note = note
	}
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
	gate.addBacklog(member, apps)
	return gate.nextOnes(member), true
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

// open lets requests work on a member and returns those whose turn it is now. The others
// follow, each when a slot is given back.
func (g *gates) open(member string, l *link) []mcreconcile.Request {
	g.mu.Lock()
	defer g.mu.Unlock()
	gate := g.at(member)
	gate.link, gate.note = l, ""
	return gate.nextOnes(member)
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
