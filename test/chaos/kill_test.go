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

	const apps = 20
	kills := times(5, 50)
	for range kills {
		killAt := time.Now().Add(time.Duration(rng.IntN(1500)) * time.Millisecond)
		for time.Now().Before(killAt) {
			w.step(apps)
		}
		if err := f.Hub().Kill(); err != nil {
			t.Fatal(err)
		}
		for range rng.IntN(4) {
			w.step(apps) // things also change while there is no hub
		}
		if err := f.Hub().Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
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
	const apps = 10
	kills := times(3, 20)
	for range kills {
		killAt := time.Now().Add(time.Duration(rng.IntN(1000)) * time.Millisecond)
		for time.Now().Before(killAt) {
			w.step(apps)
		}
		if err := f.Agent("pull-1").Kill(); err != nil {
			t.Fatal(err)
		}
		for range rng.IntN(4) {
			w.step(apps)
		}
		if err := f.Agent("pull-1").Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.converged(time.Minute)
	t.Logf("%d kills, %d apps made, %d left", kills, w.next, len(w.apps))
}

func labelled(member string) fleet.Option {
	return fleet.Labels(member, map[string]string{expect.NameLabel: member})
}
