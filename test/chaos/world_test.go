package chaos

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// apps is how many there are at most, besides those that are blocked and the
// controls.
const apps = 8

// world is what the test has asked for.
type world struct {
	t       *testing.T
	f       *fleet.Fleet
	rng     *rand.Rand
	members []string
	// apps are those that exist, by name.
	apps   map[string]*wish
	next   int
	ledger ledger
	others others
	// did counts what was done to the apps.
	did map[string]int
}

func newWorld(t *testing.T, f *fleet.Fleet, rng *rand.Rand, members ...string) *world {
	t.Helper()
	expect.Namespace(t, f, namespace)
	if err := expect.Secret(t.Context(), f, key(credentials), map[string]string{"password": "of-the-hub"}); err != nil {
		t.Fatal(err)
	}
	return &world{t: t, f: f, rng: rng, members: members, apps: map[string]*wish{}, ledger: ledger{}, did: map[string]int{}}
}

// step does one random thing to the apps.
func (w *world) step() {
	var names, blocked []string
	for _, name := range slices.Sorted(maps.Keys(w.apps)) {
		switch app := w.apps[name]; {
		case app.control:
		case app.blocked != "":
			blocked = append(blocked, name)
		default:
			names = append(names, name)
		}
	}
	dice := w.rng.IntN(12)
	switch {
	case len(names) < apps/2 || len(names) < apps && dice < 3:
		app := &wish{name: fmt.Sprintf("app-%d", w.next), replicas: w.rng.Int32N(3), version: 1}
		for p := range parts {
			app.has[p] = w.rng.IntN(4) > 0
		}
		w.next++
		w.create(app)
	case dice < 5:
		w.edit(w.pick(names), "edited", func(app *wish) { app.version++ })
	case dice < 6:
		w.edit(w.pick(names), "scaled", func(app *wish) { app.replicas = w.rng.Int32N(3) })
	case dice < 10:
		p := part(w.rng.IntN(int(parts)))
		w.edit(w.pick(names), "given or taken a part", func(app *wish) { app.has[p] = !app.has[p] })
	case dice < 11 && len(w.others.blocked) > 0:
		w.pester(blocked)
	default:
		w.remove(w.pick(names))
	}
}

func (w *world) pick(names []string) *wish { return w.apps[names[w.rng.IntN(len(names))]] }

// pester makes, edits or deletes one of the apps that get nowhere.
func (w *world) pester(existing []string) {
	for _, app := range w.others.blocked {
		if !slices.Contains(existing, app.name) && w.isGone(app.name) {
			w.create(app)
			return
		}
	}
	if len(existing) == 0 {
		return
	}
	if w.rng.IntN(2) == 0 {
		w.remove(w.pick(existing))
		return
	}
	w.edit(w.pick(existing), "edited", func(app *wish) { app.version++ })
}

// isGone is true when a MyApp that was deleted has left its members.
func (w *world) isGone(name string) bool {
	err := w.f.Cluster(fleet.HubName).Client().Get(w.t.Context(), key(name), &v1.MyApp{})
	return apierrors.IsNotFound(err)
}

func (w *world) create(app *wish) {
	made := app.app(w.members...)
	expect.Create(w.t, w.f, made)
	app.uid = made.UID
	w.apps[app.name] = app
	w.did["created"]++
}

// edit changes an app, and orders that go what it has no longer.
func (w *world) edit(app *wish, what string, change func(*wish)) {
	before := app.objects()
	change(app)
	after := app.objects()
	w.gone(app, slices.DeleteFunc(before, func(o object) bool { return slices.Contains(after, o) }))
	expect.Edit(w.t, w.f, key(app.name), func(a *v1.MyApp) { a.Spec = app.app(w.members...).Spec })
	w.did[what]++
}

func (w *world) remove(app *wish) {
	w.left(app)
	expect.Delete(w.t, w.f, key(app.name))
	delete(w.apps, app.name)
	w.did["deleted"]++
}

// removeAll deletes all apps and waits until nothing of any is left.
func (w *world) removeAll(timeout time.Duration) {
	w.t.Helper()
	for _, name := range slices.Sorted(maps.Keys(w.apps)) {
		w.remove(w.apps[name])
	}
	w.converged(timeout)
	fleet.Eventually(w.t, time.Minute, "the mailboxes to be empty", func(ctx context.Context) error {
		return w.mailboxesExact(ctx, false)
	})
}
