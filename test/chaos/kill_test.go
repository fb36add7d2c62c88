package chaos

import (
	"testing"
	"time"

	"github.com/example/myapp-hub/test/fleet/fleet"
)

// The hub, and then an agent, is killed at random moments while apps are created,
// edited, scaled, given parts and relieved of them, and deleted. In the end every
// member has exactly what was asked for: no orphan, no duplicate, nothing lost,
// and nothing of others was touched. Leader election is off, so that a new hub
// works at once and more is under way at each kill.
func TestKills(t *testing.T) {
	shareMachine(t)
	f := fleet.Start(t, fleet.Push("push-1"), fleet.Pull("pull-1"),
		labelled("push-1"), labelled("pull-1"), fleet.HubArgs("--leader-elect=false"))
	w := newWorld(t, f, seed(t), "push-1", "pull-1")
	w.standBy()
	for range apps {
		w.step()
	}
	w.converged(time.Minute)
	ends := marks(f)
	for _, victim := range []struct {
		process *fleet.Process
		kills   int
		longest time.Duration
	}{
		{f.Hub(), times(4, 100), 1200 * time.Millisecond},
		{f.Agent("pull-1"), times(3, 100), time.Second},
	} {
		t.Run(victim.process.Name(), func(t *testing.T) {
			defer func(outer *testing.T) { w.t = outer }(w.t)
			w.t = t
			w.killing(victim.process, victim.kills, victim.longest)
			last := time.Now()
			w.converged(time.Minute)
			t.Logf("%d kills; apps so far: %v; converged %s after the last start", victim.kills, w.did, time.Since(last).Round(time.Millisecond))
			w.untouched(t, ends)
		})
	}
	w.removeAll(time.Minute)
	deleted := w.ledger.check(t, f, ends)
	w.untouched(t, ends)
	t.Logf("%d deletions, each of them ordered; %d objects of others untouched", deleted, len(w.others.made))
}

// killing kills a process so many times, each after a random time of at most
// longest in which things are done to the apps. Things also change while the
// process is gone.
func (w *world) killing(p *fleet.Process, kills int, longest time.Duration) {
	w.t.Helper()
	for range kills {
		killAt := time.Now().Add(time.Duration(w.rng.Int64N(int64(longest))))
		for time.Now().Before(killAt) {
			w.step()
		}
		if err := p.Kill(); err != nil {
			w.t.Fatal(err)
		}
		for range w.rng.IntN(4) {
			w.step()
		}
		if err := p.Restart(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	}
}
