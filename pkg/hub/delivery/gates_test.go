package delivery

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"
	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"
)

func req(member string, i int) mcreconcile.Request {
	return request(member, types.NamespacedName{Namespace: "shop", Name: fmt.Sprintf("app-%d", i)})
}

// enterAll tries n requests and returns how many were let in.
// try is enter without the note.
func (g *gates) try(req mcreconcile.Request) *link {
	l, _ := g.enter(req)
	return l
}

func enterAll(g *gates, member string, n int) (admitted int) {
	for i := range n {
		if g.try(req(member, i)) != nil {
			admitted++
		}
	}
	return admitted
}

func TestGateHasSlots(t *testing.T) {
	g := newGates()
	g.open("m", &link{})
	g.open("other", &link{})
	if n := enterAll(g, "m", slotsPerMember+3); n != slotsPerMember || g.parked() != 3 {
		t.Errorf("%d entered and %d are parked", n, g.parked())
	}
	if g.try(req("other", 0)) == nil {
		t.Error("one member that is full must not stop another")
	}
	for range 3 {
		parked, ok := g.leave("m")
		if !ok || g.try(parked) == nil {
			t.Errorf("a slot that is given back must wake a parked request: %v %v", parked, ok)
		}
	}
	if parked, ok := g.leave("m"); ok {
		t.Errorf("nothing is parked, but %v is woken", parked)
	}
}

func TestGateFollowsTheConnection(t *testing.T) {
	g := newGates()
	first, second := &link{}, &link{}
	if enterAll(g, "m", 2) != 0 || g.parked() != 2 {
		t.Error("a member without a connection cannot be worked on; requests wait for it")
	}
	if woken := g.open("m", first); len(woken) != 2 || g.parked() != 0 {
		t.Errorf("a connection wakes all: %v", woken)
	}
	if g.try(req("m", 0)) != first {
		t.Error("work is done over the connection of now")
	}
	g.open("m", second)
	g.close("m", first, func() { t.Error("the end of an old connection says nothing of its successor") })
	if g.try(req("m", 1)) != second {
		t.Error("the end of an old connection must not close its successor")
	}
	ended := false
	g.close("m", second, func() { ended = true })
	if !ended {
		t.Error("whoever keeps what the member said must hear that it fell silent")
	}
	if g.try(req("m", 2)) != nil {
		t.Error("the connection has ended")
	}
	if woken, ok := g.leave("m"); ok {
		t.Errorf("without a connection %v would only be parked again", woken)
	}
	g.leave("m")
	g.drop(req("m", 2))
	if len(g.members) != 0 {
		t.Errorf("a member that holds nothing is forgotten: %v", g.members)
	}
}

// TestDroppedRequestPassesItsTurn: a woken request whose app is gone never
// enters, so it never leaves either; it must wake the next in its place.
func TestDroppedRequestPassesItsTurn(t *testing.T) {
	g := newGates()
	g.open("m", &link{})
	enterAll(g, "m", slotsPerMember+2)
	var woken []mcreconcile.Request
	for range slotsPerMember {
		if parked, ok := g.leave("m"); ok {
			woken = append(woken, parked)
		}
	}
	if len(woken) != 2 || g.parked() != 0 {
		t.Fatalf("woken %v, still parked %d", woken, g.parked())
	}

	enterAll(g, "m", slotsPerMember)
	g.try(req("m", 100))
	g.try(req("m", 101))
	gone, _ := g.leave("m")
	next, ok := g.drop(gone)
	if !ok || next == gone || g.try(next) == nil {
		t.Errorf("the slot of %v is free, but %d are parked", gone, g.parked())
	}
	g.try(req("m", 102))
	if again, ok := g.drop(req("m", 103)); ok {
		t.Errorf("the member is full: %v would only be parked again", again)
	}
	if again, ok := g.drop(req("never seen", 1)); ok {
		t.Errorf("a member that holds nothing wakes %v", again)
	}
}

// work is a queue with the workers of a controller: a key is worked on by one
// worker at a time and again if it was added meanwhile.
type work struct {
	mu           sync.Mutex
	idle         sync.Cond
	queued, busy map[mcreconcile.Request]bool
}

func (w *work) add(r mcreconcile.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queued[r] = true
	w.idle.Broadcast()
}

// run works until nothing is queued or worked on.
func (w *work) run(do func(mcreconcile.Request)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queued) > 0 || len(w.busy) > 0 {
		r, ok := w.next()
		if !ok {
			w.idle.Wait()
			continue
		}
		w.mu.Unlock()
		do(r)
		w.mu.Lock()
		delete(w.busy, r)
		w.idle.Broadcast()
	}
}

// next takes a request that no other worker works on.
func (w *work) next() (mcreconcile.Request, bool) {
	for r := range w.queued {
		if !w.busy[r] {
			delete(w.queued, r)
			w.busy[r] = true
			return r, true
		}
	}
	return mcreconcile.Request{}, false
}

// TestNoRequestIsLost: many workers come and go while the members' connections
// end and come back and apps vanish. When all is quiet every request that is
// still wanted has been worked on over the last connection, and none is parked.
func TestNoRequestIsLost(t *testing.T) { synctest.Test(t, testNoRequestIsLost) }

func testNoRequestIsLost(t *testing.T) {
	const members, apps, workers, rounds = 3, 60, 24, 40
	g := newGates()
	w := &work{queued: map[mcreconcile.Request]bool{}, busy: map[mcreconcile.Request]bool{}}
	w.idle.L = &w.mu
	var mu sync.Mutex
	done := map[mcreconcile.Request]int{}
	inside := map[string]int{}
	gone := func(r mcreconcile.Request) bool { return r.Name[len(r.Name)-1] == '7' || r.Name[len(r.Name)-1] == '3' }

	reconcile := func(r mcreconcile.Request) {
		mu.Lock()
		vanished := gone(r) && done[r] > 0
		mu.Unlock()
		member := string(r.ClusterName)
		if vanished {
			if parked, ok := g.drop(r); ok {
				w.add(parked)
			}
			return
		}
		if g.try(r) == nil {
			return
		}
		mu.Lock()
		inside[member]++
		if inside[member] > slotsPerMember {
			t.Errorf("%d requests work on %s", inside[member], member)
		}
		mu.Unlock()
		time.Sleep(20 * time.Microsecond)
		mu.Lock()
		inside[member]--
		done[r]++
		mu.Unlock()
		if parked, ok := g.leave(member); ok {
			w.add(parked)
		}
	}

	var all []mcreconcile.Request
	for m := range members {
		for i := range apps {
			all = append(all, req(fmt.Sprintf("m-%d", m), i))
		}
	}
	var quiet []types.NamespacedName // apps that no event speaks of
	for i := range apps {
		quiet = append(quiet, types.NamespacedName{Namespace: "quiet", Name: fmt.Sprintf("app-%d", i)})
	}
	connect := func(member string, l *link) {
		for _, parked := range g.open(member, l) {
			w.add(parked)
		}
		now, open := g.refill(member, quiet)
		if !open {
			t.Errorf("%s was connected", member)
		}
		for _, r := range now {
			w.add(r)
		}
	}
	var wg sync.WaitGroup
	for m := range members { // connections flap and stay up in the end
		wg.Go(func() {
			member := fmt.Sprintf("m-%d", m)
			for range rounds {
				l := &link{}
				connect(member, l)
				time.Sleep(200 * time.Microsecond)
				g.close(member, l, func() {})
			}
			connect(member, &link{})
		})
	}
	for range 2 { // events add every request again and again
		wg.Go(func() {
			for range rounds {
				for _, r := range all {
					w.add(r)
				}
				time.Sleep(100 * time.Microsecond)
			}
		})
	}
	for range workers {
		wg.Go(func() {
			for range rounds {
				w.run(reconcile)
				time.Sleep(50 * time.Microsecond)
			}
		})
	}
	wg.Wait()
	w.run(reconcile)

	if n := g.parked(); n != 0 {
		t.Errorf("%d requests are parked although their members are connected and idle", n)
	}
	for m := range members {
		for _, app := range quiet {
			all = append(all, request(fmt.Sprintf("m-%d", m), app))
		}
	}
	for _, r := range all {
		if done[r] == 0 {
			t.Errorf("%v was never worked on", r)
		}
	}
	for member, gate := range g.members {
		if gate.busy != 0 {
			t.Errorf("%s has %d slots taken by nobody", member, gate.busy)
		}
	}
}

func TestGateExplainsItself(t *testing.T) {
	g := newGates()
	if l, note := g.enter(req("m", 0)); l != nil || note != "" {
		t.Errorf("nothing is known of the member yet: %v, %q", l, note)
	}
	g.explain("m", "no rights")
	if g.parked() != 1 {
		t.Errorf("who waits goes on waiting: %d wait", g.parked())
	}
	if l, note := g.enter(req("m", 1)); l != nil || note != "no rights" {
		t.Errorf("who comes later is told as well: %v, %q", l, note)
	}
	l := &link{}
	g.open("m", l)
	if got, note := g.enter(req("m", 0)); got != l || note != "" {
		t.Errorf("a member that can be worked on needs no note: %v, %q", got, note)
	}
	g.close("m", l, func() {})
	g.leave("m")
	if len(g.members) != 0 {
		t.Errorf("a member that holds nothing is forgotten: %v", g.members)
	}
}

// What the member has said something about goes first, then what was decided, then
// what waits without a reason of its own, and last the backlog.
func TestUrgentGoesFirst(t *testing.T) {
	g := newGates()
	g.open("eu", &link{})
	enterAll(g, "eu", slotsPerMember)
	routine, decision, word, backlog := req("eu", 20), req("eu", 21), req("eu", 22), req("eu", 23)
	if now, open := g.refill("eu", []types.NamespacedName{backlog.NamespacedName}); !open || len(now) != 0 {
		t.Errorf("the member is full, and %v have their turn", now)
	}
	g.hear(decision, decided)
	g.hear(word, decided)
	g.hear(word, spoken)
	g.hear(word, decided) // is no less urgent for that
	for _, r := range []mcreconcile.Request{routine, decision, word, decision} {
		if l, _ := g.enter(r); l != nil {
			t.Fatal("it got a slot that is taken")
		}
	}
	if n := g.parked(); n != 4 {
		t.Errorf("%d wait", n)
	}
	for i, want := range []mcreconcile.Request{word, decision, routine, backlog} {
		if got, ok := g.leave("eu"); !ok || got != want {
			t.Errorf("number %d is %v, want %v", i, got, want)
		}
	}
	for _, r := range []mcreconcile.Request{word, decision} {
		g.try(r)
	}
	if n := len(g.members["eu"].urgent); n != 0 {
		t.Errorf("%d requests that were let in are still urgent", n)
	}
}

// What is urgent may never end; the others have their turn all the same.
func TestEveryoneHasATurn(t *testing.T) {
	g := newGates()
	g.open("eu", &link{})
	enterAll(g, "eu", slotsPerMember)
	routine, backlog := req("eu", 90), req("eu", 91)
	g.enter(routine)
	g.refill("eu", []types.NamespacedName{backlog.NamespacedName})
	seen := map[mcreconcile.Request]bool{}
	for range 3 * fairTurn {
		for i := range slotsPerMember { // the member goes on and on about these
			g.hear(req("eu", i), spoken)
			g.enter(req("eu", i))
		}
		next, ok := g.leave("eu")
		if !ok {
			t.Fatal("nobody is next")
		}
		seen[next] = true
		g.try(next)
	}
	if !seen[routine] || !seen[backlog] {
		t.Errorf("routine had a turn: %v; backlog: %v", seen[routine], seen[backlog])
	}
}

// A member that comes up works through what is parked, a few at a time, and through
// what its backlog has beside that.
func TestOpenIsNoFlood(t *testing.T) {
	g := newGates()
	const all = 3 * slotsPerMember
	enterAll(g, "eu", all)
	now := g.open("eu", &link{})
	if len(now) != slotsPerMember || g.parked() != all-slotsPerMember {
		t.Errorf("%d have their turn, %d wait", len(now), g.parked())
	}
	for _, r := range now {
		g.try(r)
	}
	var apps []types.NamespacedName
	for i := range all + 2 {
		apps = append(apps, req("eu", i).NamespacedName)
	}
	for range 2 { // who asks again is not put back
		if now, open := g.refill("eu", apps[slotsPerMember:]); !open || len(now) != 0 {
			t.Errorf("the member is full, and %v have their turn", now)
		}
		if n := g.parked(); n != all-slotsPerMember+2 {
			t.Errorf("%d wait, want each once", n)
		}
	}
}

// A request that becomes urgent while it waits gives up its old place.
func TestWaitingBecomesUrgent(t *testing.T) {
	g := newGates()
	g.open("eu", &link{})
	enterAll(g, "eu", slotsPerMember+3)
	last := req("eu", slotsPerMember+2)
	g.hear(last, decided)
	g.enter(last)
	if got, ok := g.leave("eu"); !ok || got != last {
		t.Errorf("next is %v, want %v", got, last)
	}
	if g.parked() != 2 {
		t.Errorf("%d are parked", g.parked())
	}
	gone := req("eu", 99)
	g.hear(gone, decided)
	g.drop(gone)
	if n := len(g.members["eu"].urgent); n != 1 {
		t.Errorf("%d requests are urgent, want the one that was not let in yet", n)
	}
}

// A member that is away needs no backlog: it gets one when it is back.
func TestBacklogEndsWithTheConnection(t *testing.T) {
	g := newGates()
	apps := []types.NamespacedName{{Namespace: "shop", Name: "web"}}
	if now, open := g.refill("eu", apps); open || len(now) != 0 || len(g.members) != 0 {
		t.Errorf("a member that is away has work to do: %v", now)
	}
	l := &link{}
	g.open("eu", l)
	enterAll(g, "eu", slotsPerMember)
	g.refill("eu", apps)
	g.close("eu", l, func() {})
	if n := g.parked(); n != 0 {
		t.Errorf("%d wait for nothing", n)
	}
	g.open("eu", l)
	if now, open := g.refill("eu", apps); !open || len(now) != 0 {
		t.Errorf("all slots are still taken, and %v have their turn", now)
	}
	if next, ok := g.leave("eu"); !ok || next.NamespacedName != apps[0] {
		t.Errorf("next is %v", next)
	}
}

// Whoever waited longest is next, however often it is asked for meanwhile.
func TestParkedInOrder(t *testing.T) {
	g := newGates()
	g.open("eu", &link{})
	app := func(i int) mcreconcile.Request {
		return request("eu", types.NamespacedName{Namespace: "shop", Name: fmt.Sprint("app-", i)})
	}
	for i := range slotsPerMember + 5 {
		g.enter(app(i))
		if i > slotsPerMember {
			g.enter(app(slotsPerMember)) // the first that is parked asks again
		}
	}
	g.drop(app(slotsPerMember + 1))
	for _, want := range []int{0, 2, 3, 4} {
		if got, ok := g.leave("eu"); !ok || got != app(slotsPerMember+want) {
			t.Errorf("next is %v, want %v", got, app(slotsPerMember+want))
		}
	}
	if got, ok := g.leave("eu"); ok || g.parked() != 0 {
		t.Errorf("%v is left", got)
	}
}
