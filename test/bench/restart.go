package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/example/myapp-hub/test/bench/meter"
	"github.com/example/myapp-hub/test/bench/report"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

const (
	// newcomers are the apps that are created beside the others, at once.
	newcomers = 5
	// hubLease is the Lease that the hub's replicas compete for.
	hubLease = "myapp-hub"
	// scrapeEvery is how often the metrics of a busy hub are read.
	scrapeEvery = 200 * time.Millisecond
	restarts    = 2 * time.Minute
)

// restart kills the hub, starts it again, and creates apps at the moment at which
// it may work: among all that it has to look at again.
func restart(ctx context.Context, a *apps, run *report.Run) error {
	w, v := a.world, run.Values
	before, err := w.newcomers(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(before.arrive(ctx), before.leave(ctx)); err != nil {
		return err
	}
	after, err := w.newcomers(ctx)
	if err != nil {
		return err
	}
	marks := meter.Mark(w.fleet.Clusters())
	won, err := w.restartHub(ctx)
	if err != nil {
		return err
	}
	profiled := w.profiled(ctx, "S5")
	converged := make(chan error, 1)
	go func() {
		err := w.converged(ctx, a.n)
		v[keyConverged] = time.Since(won).Seconds()
		converged <- err
	}()
	arrived := after.arrive(ctx)
	if err := errors.Join(arrived, <-converged, profiled()); err != nil {
		return err
	}
	if err := quiet(ctx, settle); err != nil {
		return err
	}
	if err := w.restarted(ctx, marks, after.namespace, run); err != nil {
		return err
	}
	v[keyNewBefore], v[keyNewAfter] = before.median(), after.median()
	v[keyNewRatio] = v[keyNewAfter] / v[keyNewBefore]
	return after.leave(ctx)
}

// restartHub kills the hub and starts it again. It returns when the new process has
// won the lease, and when that was.
func (w *world) restartHub(ctx context.Context) (won time.Time, err error) {
	old, err := w.leader(ctx)
	if err != nil {
		return won, err
	}
	if err := errors.Join(w.fleet.Hub().Kill(), w.fleet.Hub().Start()); err != nil {
		return won, err
	}
	err = eventually(ctx, restarts, "the lease of the hub", func(ctx context.Context) (bool, error) {
		now, err := w.leader(ctx)
		return now != old, err
	})
	return time.Now(), err
}

// leader is who has the hub's lease.
func (w *world) leader(ctx context.Context) (string, error) {
	leases := schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}
	lease, err := w.driver.Resource(leases).Namespace(fleet.HubNamespace).Get(ctx, hubLease, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	holder, _, err := unstructured.NestedString(lease.Object, "spec", "holderIdentity")
	return holder, err
}

// converged waits until a hub that was just started has looked at every app on
// every member, and has nothing more to do.
func (w *world) converged(ctx context.Context, apps int) error {
	return eventuallyEvery(ctx, restarts, scrapeEvery, "the hub to have converged", func(ctx context.Context) (bool, error) {
		m, err := w.metrics.hub(ctx)
		if err != nil {
			return false, ctx.Err() // it does not serve them yet
		}
		looked := m.Sum("controller_runtime_reconcile_total", `controller="app"`) >= float64(apps) &&
			m.Sum("controller_runtime_reconcile_total", `controller="delivery"`) >= float64(apps*len(w.members))
		connected := m.Sum("myapp_hub_member_connected") >= float64(len(w.members))
		busy := m.Sum("workqueue_depth") + m.Sum("controller_runtime_active_workers") + m.Sum("myapp_hub_delivery_parked")
		return looked && connected && busy == 0, nil
	})
}

// restarted adds what the new process asked, and what it needed for that; the
// newcomers have a namespace of their own.
func (w *world) restarted(ctx context.Context, marks meter.Marks, newcomers string, run *report.Run) error {
	hub := w.hubUsers()
	ofOld := func(e fleet.AuditEvent) bool {
		return slices.Contains(hub, e.User) && e.Namespace != newcomers && !strings.HasPrefix(e.Name, newcomers+"-")
	}
	counts, err := meter.Since(w.fleet.Clusters(), marks, ofOld)
	if err != nil {
		return err
	}
	w.requests(counts, run)
	begun, allowed, err := w.begun(marks, ofOld)
	if err != nil {
		return err
	}
	usage, err := meter.UsageOf(w.fleet.Hub().Pid())
	if err != nil {
		return err
	}
	m, err := w.metrics.hub(ctx)
	v := run.Values
	v[keyWrites] = counted(counts, change)
	v[keyLists], v[keyListsAllowed] = float64(begun), float64(allowed)
	v[keyListsShare] = v[keyLists] / v[keyListsAllowed]
	v[keyPeak], v[keyRSS] = float64(usage.PeakRSS)/megabyte, float64(usage.RSS)/megabyte
	v[keyCPU], v[keyGoroutines] = usage.CPU.Seconds(), m.Sum("go_goroutines")
	return err
}

// begun is how many first lists and watches there were, and how many are allowed: one
// of each kind on each member, and one of each selection of a kind on the hub.
func (w *world) begun(marks meter.Marks, match func(fleet.AuditEvent) bool) (begun, allowed int, err error) {
	hubs, members := map[string]bool{}, map[string]bool{}
	for _, c := range w.fleet.Clusters() {
		err := c.EachAudit(marks[c.Name()], func(e fleet.AuditEvent) {
			switch {
			case !match(e) || !meter.Counted(e) || !begins(e):
				return
			case c == w.hub:
				hubs[selection(e)] = true
			default:
				members[e.Resource] = true
			}
			begun++
		})
		if err != nil {
			return 0, 0, err
		}
	}
	return begun, len(members)*len(w.members) + len(hubs), nil
}

// selection is what a list or a watch is about, whichever of the two it is.
func selection(e fleet.AuditEvent) string {
	u, err := url.Parse(e.RequestURI)
	if err != nil {
		return e.RequestURI
	}
	q := u.Query()
	return u.Path + "?" + q.Get("labelSelector") + "&" + q.Get("fieldSelector")
}

// begins is true for what reads all of a kind: a list, or a watch that begins with one.
// A watch that goes on where another was ended does not: an API server ends those that
// do not take what they are sent at once. A list of one asks how far an API server is.
func begins(e fleet.AuditEvent) bool {
	if e.Verb != "list" && e.Verb != "watch" {
		return false
	}
	u, err := url.Parse(e.RequestURI)
	if err != nil {
		return false
	}
	q := u.Query()
	if e.Verb == "list" {
		return q.Get("limit") != "1"
	}
	from := q.Get("resourceVersion")
	return q.Get("sendInitialEvents") == "true" || from == "" || from == "0"
}

// newcomers are watched; nothing is created yet.
func (w *world) newcomers(ctx context.Context) (*apps, error) {
	namespace, err := w.space(ctx)
	if err != nil {
		return nil, err
	}
	return watch(ctx, w, theHub(w), namespace, newcomers)
}

// arrive creates the apps and waits until they are ready.
func (a *apps) arrive(ctx context.Context) error {
	if err := errors.Join(a.create(ctx), a.waitReady(ctx, 1)); err != nil {
		return fmt.Errorf("creating apps beside the others: %w", err)
	}
	return nil
}

// leave removes them.
func (a *apps) leave(ctx context.Context) error {
	a.close()
	return a.clean(ctx)
}

// median is the middle one of the times from creation to Ready, in seconds.
func (a *apps) median() float64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	var ready []float64
	for name, begun := range a.begun {
		ready = append(ready, a.ready[name][1].Sub(begun).Seconds())
	}
	return report.Quantile(ready, 0.5)
}
