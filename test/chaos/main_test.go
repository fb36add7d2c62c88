// Package chaos kills, cuts off and restarts parts of the product at random
// while it works, and checks that nothing is lost, doubled or left behind. With
// -short it does so a few times, otherwise as often as the product promises.
package chaos

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

const namespace = "chaos"

// seed is random unless SEED says otherwise; it is logged, so that a run can be
// repeated.
func seed(t *testing.T) *rand.Rand {
	t.Helper()
	s := rand.Uint64()
	if v := os.Getenv("SEED"); v != "" {
		var err error
		if s, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatalf("SEED: %v", err)
		}
	}
	t.Logf("SEED=%d repeats this run", s)
	return rand.New(rand.NewPCG(s, 0)) //nolint:gosec // a test's dice
}

// times is how often something is done: short with -short, long otherwise.
func times(short, long int) int {
	if testing.Short() {
		return short
	}
	return long
}

// world is what the test has asked for: the wanted replicas of each app.
type world struct {
	t       *testing.T
	f       *fleet.Fleet
	rng     *rand.Rand
	members []string
	apps    map[string]int32
	next    int
}

// step does one random thing to the apps: at most limit of them exist.
func (w *world) step(limit int) {
	names := slices.Sorted(maps.Keys(w.apps))
	switch dice := w.rng.IntN(10); {
	case len(names) < limit/2 || len(names) < limit && dice < 4:
		name := fmt.Sprintf("app-%d", w.next)
		w.next++
		w.apps[name] = w.rng.Int32N(4)
		expect.Create(w.t, w.f, expect.App(namespace, name, expect.WithService, expect.On(w.members...), func(a *v1.MyApp) {
			a.Spec.Replicas = ptr.To(w.apps[name])
		}))
	case dice < 8:
		name := names[w.rng.IntN(len(names))]
		w.apps[name] = w.rng.Int32N(4)
		expect.Edit(w.t, w.f, key(name), func(a *v1.MyApp) { a.Spec.Replicas = ptr.To(w.apps[name]) })
	default:
		name := names[w.rng.IntN(len(names))]
		delete(w.apps, name)
		expect.Delete(w.t, w.f, key(name))
	}
}

// converged waits until the hub and every member have exactly what was asked for.
func (w *world) converged(timeout time.Duration) {
	w.t.Helper()
	for _, name := range slices.Sorted(maps.Keys(w.apps)) {
		expect.Ready(w.t, w.f, timeout, key(name), w.members...)
	}
	var want []string
	for name := range w.apps {
		want = append(want, "Deployment "+namespace+"/"+name, "Service "+namespace+"/"+name)
	}
	slices.Sort(want)
	hub := w.f.Cluster(fleet.HubName).Client()
	fleet.Eventually(w.t, timeout, "the deleted apps to go", func(ctx context.Context) error {
		var list v1.MyAppList
		if err := hub.List(ctx, &list); err != nil {
			return err
		}
		if len(list.Items) != len(w.apps) {
			return fmt.Errorf("there are %d MyApps, want %d", len(list.Items), len(w.apps))
		}
		return nil
	})
	for _, m := range w.members {
		have := expect.Objects(w.t, w.f, m, namespace)
		slices.Sort(have)
		if !slices.Equal(have, want) {
			w.t.Errorf("%s has %v, want %v", m, have, want)
		}
		for name, replicas := range w.apps {
			if d := expect.Deployment(w.t, w.f, m, key(name)); *d.Spec.Replicas != replicas {
				w.t.Errorf("%s: %s has %d replicas, want %d", m, name, *d.Spec.Replicas, replicas)
			}
		}
	}
	var works v1.WorkList
	if err := hub.List(w.t.Context(), &works); err != nil {
		w.t.Fatal(err)
	}
	for _, work := range works.Items {
		if _, ok := w.apps[work.Spec.App.Name]; !ok {
			w.t.Errorf("Work %s/%s of a deleted app is left", work.Namespace, work.Name)
		}
	}
}

func key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}
