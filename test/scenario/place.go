package scenario

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// A member that is no longer chosen loses the app; one that is chosen gets it.
func placementMoves(t *testing.T, w World) {
	app := w.web(t)
	expect.Create(t, w.Fleet, w.app(app, expect.WithService, expect.On(w.Push)))
	for _, chosen := range [][]string{{w.Push}, {w.Pull}, {w.Push}, w.pair()} {
		expect.Edit(t, w.Fleet, app, expect.On(chosen...))
		expect.Ready(t, w.Fleet, w.Soon, app, chosen...)
		for _, m := range w.pair() {
			if left := expect.Objects(t, w.Fleet, m, app.Namespace); len(left) > 0 && !slices.Contains(chosen, m) {
				t.Errorf("the app is on %s, and %s still has %v", strings.Join(chosen, ", "), m, left)
			}
		}
	}
	expect.Edit(t, w.Fleet, app, expect.On("nowhere"))
	expect.That(t, w.Fleet, w.Soon, app, "is nowhere", func(a *v1.MyApp) error {
		if len(a.Status.Placements) > 0 {
			return fmt.Errorf("it has rows")
		}
		return expect.Condition(a, v1.ConditionScheduled, "False", v1.ReasonNoMatch)
	})
	w.Remove(t, app)
}

// A paused app stays as it is on its member; its status and its deletion go on.
func paused(t *testing.T, w World) {
	for _, c := range []struct{ on, next string }{{w.Push, w.Pull}, {w.Pull, w.Push}} {
		t.Run(c.on, func(t *testing.T) { pausedOn(t, w, c.on, c.next) })
	}
}

// pausedOn pauses an app on a member, and chooses another image and the next member
// meanwhile.
func pausedOn(t *testing.T, w World, on, next string) {
	app := w.web(t)
	expect.Create(t, w.Fleet, w.app(app, expect.On(on)))
	expect.Ready(t, w.Fleet, w.Soon, app, on)

	expect.Edit(t, w.Fleet, app, func(a *v1.MyApp) {
		a.Spec.Paused = true
		a.Spec.Image = w.Images.Second
		expect.On(next)(a)
	})
	expect.That(t, w.Fleet, w.Soon, app, "is Paused", func(a *v1.MyApp) error {
		// No member runs the spec as it is now, so it is not Ready with it.
		if err := expect.Condition(a, v1.ConditionReady, "False", v1.ReasonPaused); err != nil {
			return err
		}
		return expect.Condition(a, v1.ConditionProgressing, "False", v1.ReasonPaused)
	})
	fleet.Consistently(t, 2*time.Second, "nothing changes while paused", func(context.Context) error {
		if there := expect.Objects(t, w.Fleet, next, app.Namespace); len(there) > 0 {
			return fmt.Errorf("%s has %v", next, there)
		}
		return w.Runs(t, on, app, w.Images.First)
	})
	expect.Edit(t, w.Fleet, app, func(a *v1.MyApp) { a.Spec.Paused = false })
	expect.Ready(t, w.Fleet, w.Soon, app, next)

	expect.Edit(t, w.Fleet, app, func(a *v1.MyApp) { a.Spec.Paused = true })
	w.Remove(t, app)
}
