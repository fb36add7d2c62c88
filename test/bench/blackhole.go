package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/bench/meter"
	"github.com/example/myapp-hub/test/bench/report"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// catchUp bounds the wait for what a black hole delays.
const catchUp = 3 * time.Minute

// blackHole changes the image of all apps, once without a fault and once with a
// member that falls silent when half of them were asked for.
func blackHole(ctx context.Context, a *apps, run *report.Run) error {
	w, v := a.world, run.Values
	if len(w.members) < 2 {
		return errors.New("a black hole needs another member beside it: -members must be at least 2")
	}
	healthy, lost := w.members[:len(w.members)-1], w.members[len(w.members)-1]
	rows := newRowTimes()
	a.onStatus(rows.saw)
	defer a.onStatus(nil)

	if err := a.everyImage(ctx, 2, func() {}); err != nil {
		return err
	}
	if err := a.waitReady(ctx, 2); err != nil {
		return err
	}
	var err error
	if v[keyPlainVisible], v[keyPlainRow], err = a.onMembers(rows, 2, healthy); err != nil {
		return err
	}
	if err := quiet(ctx, settle); err != nil {
		return err
	}

	defer lost.cluster.Heal()
	var detected chan detection
	if err := a.everyImage(ctx, 3, func() {
		lost.cluster.Partition()
		detected = w.detect(ctx, lost)
	}); err != nil {
		return err
	}
	if err := eventually(ctx, catchUp, "the rows of healthy members", func(context.Context) (bool, error) {
		return rows.complete(a, 3, healthy), nil
	}); err != nil {
		return err
	}
	if v[keyFaultVisible], v[keyFaultRow], err = a.onMembers(rows, 3, healthy); err != nil {
		return err
	}
	v[keyFaultRatio] = v[keyFaultVisible] / v[keyPlainVisible]
	found := <-detected
	if found.err != nil {
		return found.err
	}
	v[keyDetected] = found.after.Seconds()
	return a.comeBack(ctx, lost, run)
}

// everyImage gives all apps the image of a generation, and does something when half
// of them have it.
func (a *apps) everyImage(ctx context.Context, generation int64, halfway func()) error {
	var done atomic.Int64
	return a.each(ctx, func(ctx context.Context, name string) error {
		err := a.setImage(ctx, name, generation)
		if done.Add(1) == int64(a.n+1)/2 {
			halfway()
		}
		return err
	})
}

// onMembers are the 99th percentiles of the times, in seconds, from asking for a
// generation until it was on a member, and until the app's status said that it is
// ready there.
func (a *apps) onMembers(rows *rowTimes, generation int64, members []member) (visible, row float64, err error) {
	seen, err := a.visible(generation, members)
	if err != nil {
		return 0, 0, err
	}
	return report.Quantile(seen, 0.99), report.Quantile(rows.since(a, generation, members), 0.99), nil
}

// comeBack heals the member and measures what reaches it until all apps are ready.
func (a *apps) comeBack(ctx context.Context, lost member, run *report.Run) error {
	w, v := a.world, run.Values
	behind := 0
	for i := range a.n {
		if _, ok := a.seen(a.name(i), lost, 3); !ok {
			behind++
		}
	}
	marks, healed := meter.Mark(w.fleet.Clusters()), time.Now()
	lost.cluster.Heal()
	if err := a.waitReady(ctx, 3); err != nil {
		return err
	}
	v[keyCatchUp] = time.Since(healed).Seconds()
	if err := quiet(ctx, settle); err != nil {
		return err
	}
	counts, err := meter.Since([]*fleet.Cluster{lost.cluster}, marks, a.contender.asked)
	if err != nil {
		return err
	}
	w.requests(counts, run)
	// Another image changes one object of an app.
	v[keyBehind] = float64(behind)
	v[keyReturned] = counted(counts, toMember)
	v[keyReturnedRatio] = v[keyReturned] / v[keyBehind]
	return nil
}

// detection is how long it took to see that a member is silent.
type detection struct {
	after time.Duration
	err   error
}

// detect waits, from now on, until the MemberCluster is not Ready.
func (w *world) detect(ctx context.Context, m member) chan detection {
	began, found := time.Now(), make(chan detection, 1)
	go func() {
		err := eventually(ctx, catchUp, m.name+" to be found silent", func(ctx context.Context) (bool, error) {
			ready, err := w.isConnected(ctx, m.name)
			return !ready, err
		})
		found <- detection{time.Since(began), err}
	}()
	return found
}

// isConnected is what the hub says of a member.
func (w *world) isConnected(ctx context.Context, name string) (bool, error) {
	u, err := w.driver.Resource(v1.GroupVersion.WithResource("memberclusters")).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return false, err
	}
	var m v1.MemberCluster
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &m); err != nil {
		return false, err
	}
	return meta.IsStatusConditionTrue(m.Status.Conditions, v1.ConditionReady), nil
}

// rowTimes are when the status of apps first said that they are ready on a member,
// by the generation that was observed.
type rowTimes struct {
	mu sync.Mutex
	at map[rowKey]time.Time
}

type rowKey struct {
	app, member string
	generation  int64
}

func newRowTimes() *rowTimes { return &rowTimes{at: map[rowKey]time.Time{}} }

func (r *rowTimes) saw(app string, status v1.MyAppStatus, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, row := range status.Placements {
		if row.State != v1.PlacementReady || row.Revision != status.Revision || !row.Updated {
			continue
		}
		key := rowKey{app, row.Cluster, status.ObservedGeneration}
		if _, ok := r.at[key]; !ok {
			r.at[key] = now
		}
	}
}

func (r *rowTimes) complete(a *apps, generation int64, members []member) bool {
	return len(r.since(a, generation, members)) == a.n*len(members)
}

// since are the times from asking for a generation to its row, in seconds, of the
// rows that there are.
func (r *rowTimes) since(a *apps, generation int64, members []member) []float64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []float64
	for name, begun := range a.begun {
		for _, m := range members {
			if at, ok := r.at[rowKey{name, m.name, generation}]; ok {
				out = append(out, at.Sub(begun).Seconds())
			}
		}
	}
	return out
}
