package mailbox

import (
	"context"
	"fmt"
	"sync"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
	"github.com/example/myapp-hub/pkg/consistency"
	"github.com/example/myapp-hub/pkg/flush"
	"github.com/example/myapp-hub/pkg/manifest"
)

// Reconciler carries out one Work at a time.
type Reconciler struct {
	// Hub reads the mailbox from its cache and writes the status of Works.
	Hub client.Client
	// Engine works on the own cluster.
	Engine *apply.Engine
	Clock  clock.PassiveClock

	own     consistency.OwnWrites
	mu      sync.Mutex
	windows map[types.NamespacedName]*flush.Window
}

// Reconcile is one pass over a Work: carry it out, report.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	work := &v1.Work{}
	if err := r.Hub.Get(ctx, req.NamespacedName, work); err != nil {
		r.forget(req.NamespacedName)
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if work.DeletionTimestamp != nil || r.own.Behind(work) {
		return reconcile.Result{}, nil
	}
	ctx = logf.IntoContext(ctx, logf.FromContext(ctx).WithValues("app", work.Spec.App.Namespace+"/"+work.Spec.App.Name, "member", r.Engine.Member()))
	feedback, retry, failed := r.carryOut(ctx, work)
	status := v1.WorkStatus{ObservedGeneration: work.Generation, Feedback: feedback}
	wait, err := r.report(ctx, work, status)
	if failed != nil {
		return reconcile.Result{}, failed
	}
	return reconcile.Result{RequeueAfter: sooner(retry, wait)}, err
}

// carryOut does what the Work orders. retry says when to look again if nothing
// happens, zero for never; an error is tried again with backoff.
func (r *Reconciler) carryOut(ctx context.Context, work *v1.Work) (feedback v1.Feedback, retry time.Duration, err error) {
	owner := apply.Owner{HubID: work.Spec.HubID, Namespace: work.Spec.App.Namespace, Name: work.Spec.App.Name, UID: work.Spec.App.UID}
	switch work.Spec.State {
	case v1.WorkRemoved:
		feedback, retry, err = remove(ctx, r.Engine, owner, work)
	case v1.WorkPresent:
		feedback, retry, err = put(ctx, r.Engine, owner, work)
	default:
		return v1.Feedback{
			State: v1.FeedbackFailed, Reason: v1.ReasonRejected,
			Message: fmt.Sprintf("this agent does not know the state %q: upgrade the agent", work.Spec.State),
		}, 0, nil
	}
	if err != nil {
		feedback = apply.ErrorFeedback(work.Status.Feedback, err)
	}
	return feedback, retry, err
}

func put(ctx context.Context, engine *apply.Engine, owner apply.Owner, work *v1.Work) (v1.Feedback, time.Duration, error) {
	manifests := make([]manifest.Manifest, 0, len(work.Spec.Manifests))
	for _, raw := range work.Spec.Manifests {
		m, err := manifest.Parse(raw.Raw)
		if err != nil {
			return v1.Feedback{}, 0, fmt.Errorf("reading Work %s/%s: %w", work.Namespace, work.Name, err)
		}
		manifests = append(manifests, m)
	}
	if hash := manifest.SetHash(manifests); len(manifests) == 0 || hash != work.Spec.ContentHash {
		return v1.Feedback{
			State: v1.FeedbackFailed, Reason: v1.ReasonRejected,
			Message: "the Work is damaged: its manifests do not have its content hash; nothing was changed",
		}, 0, nil
	}
	observed, err := engine.Observe(ctx, owner)
	if err != nil {
		return v1.Feedback{}, 0, err
	}
	set, err := engine.Apply(ctx, owner, manifests, observed)
	if set.Writes() > 0 {
		logf.FromContext(ctx).V(1).Info("Applied", "changes", set.Changes)
	}
	if err != nil {
		return v1.Feedback{}, 0, err
	}
	return apply.Feedback(set, manifests, observed), apply.RetryAfter(set), nil
}

func remove(ctx context.Context, engine *apply.Engine, owner apply.Owner, work *v1.Work) (v1.Feedback, time.Duration, error) {
	if work.Status.ObservedGeneration == work.Generation && work.Status.State == v1.FeedbackRemoved {
		return work.Status.Feedback, 0, nil
	}
	removal, err := engine.Remove(ctx, owner, work.Spec.DeletionPolicy)
	if err != nil {
		return v1.Feedback{}, 0, err
	}
	if removal.Done {
		logf.FromContext(ctx).V(1).Info("Removed", "policy", work.Spec.DeletionPolicy)
		return apply.RemovalFeedback(removal), 0, nil
	}
	return apply.RemovalFeedback(removal), apply.RetryTerminating, nil
}

// report writes the status if it changed and is due, and says otherwise how long
// it has to wait.
func (r *Reconciler) report(ctx context.Context, work *v1.Work, status v1.WorkStatus) (time.Duration, error) {
	key := client.ObjectKeyFromObject(work)
	w := r.window(key)
	if apiequality.Semantic.DeepEqual(work.Status, status) {
		w.Clean()
		return 0, nil
	}
	if wait := w.Wait(r.Clock.Now()); wait > 0 && !urgent(work.Status, status) {
		return wait, nil
	}
	updated := work.DeepCopy()
	updated.Status = status
	ctx, cancel := context.WithTimeout(ctx, apply.RequestTimeout)
	defer cancel()
	err := r.Hub.Status().Patch(ctx, updated, client.MergeFromWithOptions(work, client.MergeFromWithOptimisticLock{}))
	if err != nil {
		return 0, fmt.Errorf("reporting in Work %s: %w", key, client.IgnoreNotFound(err))
	}
	r.own.Wrote(updated)
	w.Written(r.Clock.Now())
	return 0, nil
}

// urgent is true for a report that must not wait.
func urgent(before, after v1.WorkStatus) bool {
	return before.ObservedGeneration != after.ObservedGeneration ||
		before.State != after.State || before.AppliedHash != after.AppliedHash
}

// window is the flush window of a Work. Passes over one Work never overlap, so
// the window needs no lock of its own.
func (r *Reconciler) window(work types.NamespacedName) *flush.Window {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.windows == nil {
		r.windows = map[types.NamespacedName]*flush.Window{}
	}
	if r.windows[work] == nil {
		r.windows[work] = &flush.Window{}
	}
	return r.windows[work]
}

func (r *Reconciler) forget(work types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.windows, work)
}

// sooner is the shorter of two waits, of which zero means never.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
