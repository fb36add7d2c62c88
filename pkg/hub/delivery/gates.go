package delivery

import (
	"container/list"
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
	// parked are in the order in which they came.
	parked fifo
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
		gate.parked.add(req)
		return nil, gate.note
	}
	gate.busy++
	return gate.link, ""
}

// explain notes why a member cannot be worked on, and returns the requests that
// are parked for it, which stay so.
func (g *gates) explain(member, note string) []mcreconcile.Request {
	g.mu.Lock()
	defer g.mu.Unlock()
	gate := g.at(member)
	gate.note = note
	return gate.parked.all()
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
	return g.parked.next()
}

// open lets requests work on a member and returns those that were parked.
func (g *gates) open(member string, l *link) []mcreconcile.Request {
	g.mu.Lock()
	defer g.mu.Unlock()
	gate := g.at(member)
	gate.link, gate.note = l, ""
	parked := gate.parked.all()
	gate.parked = fifo{}
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
	gate.parked.drop(req)
	defer g.forgetIdle(string(req.ClusterName))
	return gate.next()
}

// parked is the number of parked requests.
func (g *gates) parked() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, gate := range g.members {
		n += gate.parked.len()
	}
	return n
}

// forgetIdle drops the entry of a member that holds nothing. The lock is held.
func (g *gates) forgetIdle(member string) {
	if gate := g.members[member]; gate.link == nil && gate.note == "" && gate.busy == 0 && gate.parked.len() == 0 {
		delete(g.members, member)
	}
}

// fifo are requests in the order in which they came, each once. The zero value is
// empty.
type fifo struct {
	order list.List
	at    map[mcreconcile.Request]*list.Element
}

func (f *fifo) len() int { return f.order.Len() }

func (f *fifo) add(req mcreconcile.Request) {
	if _, ok := f.at[req]; ok {
		return
	}
	if f.at == nil {
		f.at = map[mcreconcile.Request]*list.Element{}
	}
	f.at[req] = f.order.PushBack(req)
}

func (f *fifo) drop(req mcreconcile.Request) {
	if element, ok := f.at[req]; ok {
		f.order.Remove(element)
		delete(f.at, req)
	}
}

// next takes the first.
func (f *fifo) next() (mcreconcile.Request, bool) {
	first := f.order.Front()
	if first == nil {
		return mcreconcile.Request{}, false
	}
	req, ok := f.order.Remove(first).(mcreconcile.Request)
	delete(f.at, req)
	return req, ok
}

func (f *fifo) all() []mcreconcile.Request {
	all := make([]mcreconcile.Request, 0, f.order.Len())
	for e := f.order.Front(); e != nil; e = e.Next() {
		if req, ok := e.Value.(mcreconcile.Request); ok {
			all = append(all, req)
		}
	}
	return all
}
