package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/meta"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/flush"
	"github.com/example/myapp-hub/test/bench/meter"
	"github.com/example/myapp-hub/test/bench/report"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

const (
	// flipsPerSecond is how often a Deployment goes down or comes back.
	flipsPerSecond = 200
	// turnsPerSecond is how often an app's Ready is made to turn: few enough that a
	// turn has the machine for itself, and enough that no window ends meanwhile.
	turnsPerSecond = 50
	// prompt is how late a status may be beyond the window that it waits for, in
	// seconds; Ready turning waits for none.
	prompt = 0.15
)

// churn flips the readiness of Deployments. One member is down all the time, so that
// an app's Ready stays False and each change may wait for others; taking it down at
// the beginning and making it ready at the end, when the windows have grown, are the
// flips of Ready that may not.
func churn(ctx context.Context, a *apps, run *report.Run) error {
	w, v := a.world, run.Values
	if len(w.members) < 2 {
		return errors.New("churn needs a member beside the one that is down: -members must be at least 2")
	}
	churned, lever := w.members[:len(w.members)-1], w.members[len(w.members)-1]
	s := newStaleness()
	a.onStatus(s.shows)
	defer a.onStatus(nil)

	shown, err := a.turn(ctx, s, lever, true)
	if err != nil {
		return err
	}
	s.forget()
	w.simulator.Lags()
	before, err := w.begin(w.fleet.Hub().Pid())
	if err != nil {
		return err
	}
	flips, err := a.flip(ctx, s, churned)
	if err != nil {
		return err
	}
	during := time.Since(before.at)
	patches, err := a.patches(before.marks)
	if err != nil {
		return err
	}
	if _, err := w.end(ctx, before, a.contender, run); err != nil {
		return err
	}
	if err := a.calm(ctx, s, churned); err != nil {
		return err
	}
	stale, lags := s.stale(), w.simulator.Lags()
	again, err := a.turn(ctx, s, lever, false)
	if err != nil {
		return err
	}
	v[keyFlips] = float64(flips) / during.Seconds()
	v[keyPatches], v[keyPatchesAllowed] = float64(patches), float64(allowed(during))
	v[keyStale50], v[keyStale99] = report.Quantile(stale, 0.5), report.Quantile(stale, 0.99)
	v[keyLag99] = report.Quantile(lags, 0.99)
	v[keyTurned50] = report.Quantile(append(shown, again...), 0.5)
	v[keyTurned99] = report.Quantile(append(shown, again...), 0.99)
	v[keyPatchesShare] = v[keyPatches] / v[keyPatchesAllowed]
	v[keyCPUShare] = 100 * v[keyCPU] / during.Seconds()
	return nil
}

// allowed is how many writes of one status the growing window allows in a time in
// which it changes all the time.
func allowed(during time.Duration) int {
	var w flush.Window
	writes := 0
	for at := time.Duration(0); at <= during; at += time.Millisecond {
		now := time.Unix(0, 0).Add(at)
		if w.Wait(now) <= 0 {
			w.Written(now)
			writes++
		}
	}
	return writes
}

// flip takes Deployments down and makes them ready again, in an order that is the
// same in each run, and says how often.
func (a *apps) flip(ctx context.Context, s *staleness, members []member) (int, error) {
	random := rand.New(rand.NewPCG(1, 2))
	group, ctx := errgroup.WithContext(ctx)
	// The flips of a Deployment are one worker's, and so one after the other.
	queues := make([]chan cell, driving)
	for i := range queues {
		queue := make(chan cell, flipsPerSecond)
		queues[i] = queue
		group.Go(func() error {
			for c := range queue {
				if err := a.set(ctx, s, c, !s.isDown(c)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	ticker := time.NewTicker(time.Second / flipsPerSecond)
	defer ticker.Stop()
	end := time.After(a.world.churn)
	flips := 0
	for running := true; running; {
		select {
		case <-ticker.C:
			n := random.IntN(a.n * len(members))
			select {
			case queues[n%len(queues)] <- cell{a.name(n / len(members)), members[n%len(members)]}:
				flips++
			case <-ctx.Done():
			}
		case <-end:
			running = false
		case <-ctx.Done():
			running = false
		}
	}
	for _, queue := range queues {
		close(queue)
	}
	return flips, group.Wait()
}

// turn takes all apps down on one member, or makes them ready there, and says how many seconds each took to show it in its Ready.
func (a *apps) turn(ctx context.Context, s *staleness, on member, down bool) ([]float64, error) {
	ticker := time.NewTicker(time.Second / turnsPerSecond)
	defer ticker.Stop()
	turned := make([]time.Time, a.n)
	group, grouped := errgroup.WithContext(ctx)
	group.SetLimit(driving)
	for i := range a.n {
		<-ticker.C
		group.Go(func() error {
			err := a.set(grouped, s, cell{a.name(i), on}, down)
			turned[i] = time.Now()
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := eventually(ctx, catchUp, "Ready to turn", func(context.Context) (bool, error) {
		for i := range a.n {
			if _, ok := s.turned(a.name(i), !down); !ok {
				return false, nil
			}
		}
		return true, nil
	}); err != nil {
		return nil, err
	}
	var out []float64
	for i := range a.n {
		at, _ := s.turned(a.name(i), !down)
		out = append(out, max(0, at.Sub(turned[i]).Seconds()))
	}
	return out, nil
}

// calm makes everything ready that the churn left down, and waits until the apps
// show it.
func (a *apps) calm(ctx context.Context, s *staleness, members []member) error {
	group, grouped := errgroup.WithContext(ctx)
	group.SetLimit(driving)
	for i := range a.n {
		for _, m := range members {
			if c := (cell{a.name(i), m}); s.isDown(c) {
				group.Go(func() error { return a.set(grouped, s, c, false) })
			}
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return eventually(ctx, catchUp, "the churn to be shown", func(context.Context) (bool, error) { return s.upToDate(), nil })
}

func (a *apps) set(ctx context.Context, s *staleness, c cell, down bool) error {
	if err := a.world.simulator.Flip(ctx, c.member.cluster.Name(), c.member.place(a.key(c.app)), down); err != nil {
		return err
	}
	s.is(c, down, time.Now())
	return nil
}

// patches is how often the status was written of the app of which it was written
// most often.
func (a *apps) patches(marks meter.Marks) (int, error) {
	byApp := map[string]int{}
	err := a.world.hub.EachAudit(marks[fleet.HubName], func(e fleet.AuditEvent) {
		if a.contender.asked(e) && meter.Counted(e) && e.Namespace == a.namespace && e.Resource == a.contender.resource.Resource && e.Subresource == "status" {
			byApp[e.Name]++
		}
	})
	most := 0
	for _, n := range byApp {
		most = max(most, n)
	}
	if most == 0 && err == nil {
		return 0, fmt.Errorf("no status was written in a churn of %s", a.world.churn)
	}
	return most, err
}

// cell is an app on a member.
type cell struct {
	app    string
	member member
}

// staleness compares what is true with what the apps' statuses show.
type staleness struct {
	mu sync.Mutex
	// down is the truth; shown is what the status says, since when they differ.
	down, shown map[shownKey]bool
	since       map[shownKey]time.Time
	lasted      []float64
	ready       map[string]turn
}

type shownKey struct{ app, member string }

// turn is the last time at which an app's Ready turned.
type turn struct {
	ready bool
	at    time.Time
}

func newStaleness() *staleness {
	return &staleness{
		down: map[shownKey]bool{}, shown: map[shownKey]bool{}, since: map[shownKey]time.Time{}, ready: map[string]turn{},
	}
}

// is told of the truth.
func (s *staleness) is(c cell, down bool, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := shownKey{c.app, c.member.name}
	s.down[key] = down
	s.compare(key, now)
}

// shows is told of a status.
func (s *staleness) shows(app string, status v1.MyAppStatus, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, row := range status.Placements {
		key := shownKey{app, row.Cluster}
		s.shown[key] = row.ReadyReplicas == 0
		s.compare(key, now)
	}
	ready := meta.IsStatusConditionTrue(status.Conditions, v1.ConditionReady)
	if last, ok := s.ready[app]; !ok || last.ready != ready {
		s.ready[app] = turn{ready, now}
	}
}

// compare begins or ends the time in which a cell is stale. A change that is undone
// before it was shown ends it, too.
func (s *staleness) compare(key shownKey, now time.Time) {
	since, stale := s.since[key]
	differ := s.down[key] != s.shown[key]
	switch {
	case differ && !stale:
		s.since[key] = now
	case !differ && stale:
		delete(s.since, key)
		s.lasted = append(s.lasted, now.Sub(since).Seconds())
	}
}

func (s *staleness) isDown(c cell) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down[shownKey{c.app, c.member.name}]
}

func (s *staleness) upToDate() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.since) == 0
}

// forget drops what lasted until now: it was no churn.
func (s *staleness) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lasted = nil
}

func (s *staleness) stale() []float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lasted
}

// turned is when an app's Ready became what it is to be, if it has.
func (s *staleness) turned(app string, ready bool) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, ok := s.ready[app]
	return last.at, ok && last.ready == ready
}
