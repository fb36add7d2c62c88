package chaos

import (
	"testing"
	"time"

	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// The hub is killed at random moments while apps are created, scaled and
// deleted. In the end every member has exactly what was asked for: no orphan,
// no duplicate, nothing lost. Leader election is off, so that a new hub works at
// once and more is under way at each kill.
func TestKillTheHub(t *testing.T) {
	rng := seed(t)
	members := []string{"push-1", "push-2", "pull-1"}
	f := fleet.Start(t, fleet.Push("push-1"), fleet.Push("push-2"), fleet.Pull("pull-1"),
		labelled("push-1"), labelled("push-2"), labelled("pull-1"), fleet.HubArgs("--leader-elect=false"))
	expect.Namespace(t, f, namespace)
	w := &world{t: t, f: f, rng: rng, members: members, apps: map[string]int32{}}

	kills := times(5, 50)
	w.killing(f.Hub(), kills, 1500*time.Millisecond, 20)
	started := time.Now()
	w.converged(time.Minute)
	t.Logf("%d kills, %d apps made, %d left; converged %s after the last start", kills, w.next, len(w.apps), time.Since(started).Round(time.Millisecond))
}

// The same with the agent.
func TestKillTheAgent(t *testing.T) {
	rng := seed(t)
	f := fleet.Start(t, fleet.Pull("pull-1"), labelled("pull-1"))
	expect.Namespace(t, f, namespace)
	w := &world{t: t, f: f, rng: rng, members: []string{"pull-1"}, apps: map[string]int32{}}
	kills := times(3, 20)
	w.killing(f.Agent("pull-1"), kills, time.Second, 10)
	w.converged(time.Minute)
	t.Logf("%d kills, %d apps made, %d left", kills, w.next, len(w.apps))
}

// killing kills a process so many times, each after a random time of at most
// longest in which things are done to at most apps apps. Things also change
// while the process is gone.
func (w *world) killing(p *fleet.Process, kills int, longest time.Duration, apps int) {
	w.t.Helper()
	for range kills {
		killAt := time.Now().Add(time.Duration(w.rng.Int64N(int64(longest))))
		for time.Now().Before(killAt) {
			w.step(apps)
		}
		if err := p.Kill(); err != nil {
			w.t.Fatal(err)
		}
		for range w.rng.IntN(4) {
			w.step(apps)
		}
		if err := p.Restart(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	}
}

func labelled(member string) fleet.Option {
	return fleet.Labels(member, map[string]string{expect.NameLabel: member})
}
