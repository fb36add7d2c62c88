// Package property puts made-up apps on a real API server, thousands of them,
// and holds for each what no table of examples can: what is valid renders, what
// renders is applied, and what is applied is not written again until it changes.
// With -short it does so for some apps, otherwise for as many as the product
// promises.
package property

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/example/myapp-hub/test/fleet/fleet"
)

const (
	bare   = "bare"
	member = "engine"
	hubID  = "hub-1"
	// enough failures end a run.
	enough = 10
	// soon is ample for anything that takes no timeout on a fleet that is well.
	soon = 60 * time.Second
)

// sizes of a run.
type sizes struct {
	// specs are applied for real, batch of them at a time.
	specs, batch int
	// Every mutated-th is changed and applied again; every fresh-th of those is
	// compared with one that was made like that from the start.
	mutated, fresh int
}

func sizesOf() sizes {
	if testing.Short() {
		return sizes{specs: 150, batch: 150, mutated: 3, fresh: 4}
	}
	return sizes{specs: 10_000, batch: 250, mutated: 4, fresh: 10}
}

// number is an environment variable, if it is set.
func number(t *testing.T, name string) (uint64, bool) {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return 0, false
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n, true
}

// TestSpecs: random valid specs render, are applied, and cost no write the second
// time, nor by an engine that knows nothing; a change of a spec writes what it
// changes; and in the end nothing is left.
func TestSpecs(t *testing.T) {
	log.SetLogger(logr.Discard())
	seed, given := number(t, "SEED")
	if !given {
		seed = rand.Uint64()
	}
	t.Logf("SEED=%d repeats this run; with SPEC=n, one spec of it", seed)
	size := sizesOf()
	if n, ok := number(t, "SPECS"); ok {
		size.specs = int(n) //nolint:gosec // a number of specs
	}
	f := fleet.Start(t, fleet.WithoutControllers(), fleet.Bare(bare), fleet.Unjoined(bare))
	w := newWorld(t, f, seed, size)
	if n, ok := number(t, "SPEC"); ok {
		w.batch(int(n), int(n)+1) //nolint:gosec // an index
		t.Log(w.done)
		return
	}
	started := time.Now()
	for first := 0; first < size.specs && w.done.failed < enough; first += size.batch {
		w.batch(first, min(first+size.batch, size.specs))
		fmt.Fprintf(t.Output(), "%7.1f s  %s\n", time.Since(started).Seconds(), w.done)
	}
	t.Logf("%s in %s", w.done, time.Since(started).Round(time.Second))
}

// batch takes some apps through their lives together. An app that fails takes no
// further part.
func (w *world) batch(first, end int) {
	w.t.Helper()
	ctx := w.t.Context()
	apps := make([]*life, 0, end-first)
	for i := first; i < end; i++ {
		apps = append(apps, w.newLife(i, fmt.Sprintf("property-%d", first)))
	}
	w.each(apps, "is valid and renders", func(l *life) error { return w.prepare(ctx, l.now) })
	w.each(apps, "is created", func(l *life) error { return w.engine.create(ctx, l.now) })
	w.quiet(w.engine, apps, "is left alone the second time", func(l *life) *version { return l.now })
	restarted := w.newEngine(ctx, "restarted")
	w.quiet(restarted, apps, "is left alone by an engine that knows nothing", func(l *life) *version { return l.now })
	restarted.stop()

	var changed, sample []*life
	for i, l := range apps {
		if i%w.size.mutated == 0 {
			changed = append(changed, l)
		}
		if i%(w.size.mutated*w.size.fresh) == 0 {
			sample = append(sample, l)
		}
	}
	w.each(changed, "has a valid change", func(l *life) error { return w.mutate(ctx, l) })
	w.each(changed, "is changed", func(l *life) error { return w.change(ctx, l) })
	changed, sample = stillThere(changed), stillThere(sample)
	w.quiet(w.engine, changed, "is left alone after the change", func(l *life) *version { return l.next })
	w.each(sample, "is as if made anew", func(l *life) error { return w.asNew(ctx, l) })

	w.each(apps, "is removed", func(l *life) error { return w.engine.remove(ctx, l.last()) })
	if left := w.left(ctx, apps[0].now.owner.Namespace); len(left) > 0 && !w.anyFailed(apps) {
		w.t.Errorf("left behind: %v", left)
	}
	w.done.add(apps, changed, sample)
	w.report(ctx, apps)
}

// stillThere are the apps that have a next version.
func stillThere(apps []*life) []*life {
	return slices.DeleteFunc(apps, func(l *life) bool { return l.next == nil })
}

// quiet holds that one more pass over apps writes nothing, once the engine's
// cache shows them: neither by its own account nor by the API server's.
func (w *world) quiet(e *engine, apps []*life, step string, which func(*life) *version) {
	w.t.Helper()
	ctx := w.t.Context()
	w.each(apps, step+" (cache)", func(l *life) error { return e.settled(ctx, which(l)) })
	mark := w.cluster.AuditMark()
	w.each(apps, step, func(l *life) error { return e.again(ctx, which(l)) })
	for _, request := range w.requests(ctx, mark, e.agent) {
		w.t.Errorf("%s: the API server was asked: %s", step, request)
	}
}

// totals are what a run has done so far.
type totals struct{ specs, failed, objects, changed, written, limited, compared int }

func (n totals) String() string {
	return fmt.Sprintf("%d specs applied for real (%d objects), twice more without a write; %d changed (%d objects written), %d more not (limits of server-side apply); %d compared with new ones",
		n.specs, n.objects, n.changed, n.written, n.limited, n.compared)
}

func (n *totals) add(apps, changed, sample []*life) {
	for _, l := range apps {
		if l.failed == nil {
			n.specs++
			n.objects += len(l.now.manifests)
			if l.limited {
				n.limited++
			}
		} else {
			n.failed++
		}
	}
	for _, l := range changed {
		if l.failed == nil {
			n.changed++
			n.written += l.next.writes
		}
	}
	for _, l := range sample {
		if l.failed == nil {
			n.compared++
		}
	}
}

// settle waits until check is satisfied.
func settle(ctx context.Context, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, soon)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %s: %w", soon, err)
		case <-ticker.C:
		}
	}
}
