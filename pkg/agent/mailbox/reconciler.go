package mailbox

import (
	"context"
	"fmt"
	"sync"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
	// Live reads the mailbox from the hub's API server.
	Live client.Reader
	// Engine works on the own cluster.
	Engine *apply.Engine
	Clock  clock.PassiveClock

	own        consistency.OwnWrites
	windows    flush.Windows[types.NamespacedName]
	mu         sync.Mutex
	unreported map[types.NamespacedName]struct{}
}

// staleRecheck is when to look again at a Work that the cache shows too old.
const staleRecheck = time.Second

// Reconcile is one pass over a Work: carry it out, report.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	work := &v1.Work{}
	if err := r.Hub.Get(ctx, req.NamespacedName, work); err != nil {
		r.windows.Forget(req.NamespacedName)
		r.noteUnreported(req.NamespacedName, false)
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if work.DeletionTimestamp != nil {
		return reconcile.Result{}, nil
	}
	if r.own.Behind(work) {
		return reconcile.Result{RequeueAfter: staleRecheck}, nil
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
		feedback, retry, err = r.remove(ctx, owner, work)
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
			Message: "the Work is damaged: its manifests are not those that its content hash names; nothing was changed",
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

func (r *Reconciler) remove(ctx context.Context, owner apply.Owner, work *v1.Work) (v1.Feedback, time.Duration, error) {
	if work.Status.ObservedGeneration == work.Generation && work.Status.State == v1.FeedbackRemoved {
		return work.Status.Feedback, 0, nil
	}
	if confirmed, err := r.confirmRemoval(ctx, work); err != nil || !confirmed {
		return work.Status.Feedback, 0, err
	}
	removal, err := r.Engine.Remove(ctx, owner, work.Spec.DeletionPolicy)
	if err != nil {
		return v1.Feedback{}, 0, err
	}
	if removal.Done {
		logf.FromContext(ctx).V(1).Info("Removed", "policy", work.Spec.DeletionPolicy)
		return apply.RemovalFeedback(removal), 0, nil
	}
	return apply.RemovalFeedback(removal), apply.RetryTerminating, nil
}

// confirmRemoval reads the Work live: the order to remove must still stand.
func (r *Reconciler) confirmRemoval(ctx context.Context, work *v1.Work) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, apply.RequestTimeout)
	defer cancel()
	var live v1.Work
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(work), &live); err != nil {
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return false, fmt.Errorf("confirming the removal that Work %s/%s orders: %w", work.Namespace, work.Name, err)
	}
	return live.UID == work.UID && live.Generation == work.Generation && live.Spec.State == v1.WorkRemoved, nil
}

// report writes the status if it changed and is due, and says otherwise how long
// it has to wait.
func (r *Reconciler) report(ctx context.Context, work *v1.Work, status v1.WorkStatus) (time.Duration, error) {
	key := client.ObjectKeyFromObject(work)
	w := r.windows.Of(key)
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
	r.noteUnreported(key, apply.Unreachable(err))
	switch {
	case apierrors.IsNotFound(err):
		return 0, nil
	case apierrors.IsConflict(err):
		return staleRecheck, nil
	case err != nil:
		return 0, fmt.Errorf("reporting in Work %s: %w", key, err)
	}
	r.own.Wrote(updated)
	w.Written(r.Clock.Now())
	return 0, nil
}

// Unreported is true while the hub has not got a report because it could not be
// reached. Until it has, the agent must not say that all is well.
func (r *Reconciler) Unreported() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.unreported) > 0
}

func (r *Reconciler) noteUnreported(work types.NamespacedName, unreported bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !unreported {
		delete(r.unreported, work)
		return
	}
	if r.unreported == nil {
		r.unreported = map[types.NamespacedName]struct{}{}
	}
	r.unreported[work] = struct{}{}
}

// urgent is true for a report that must not wait.
func urgent(before, after v1.WorkStatus) bool {
	return before.ObservedGeneration != after.ObservedGeneration ||
		before.State != after.State || before.AppliedHash != after.AppliedHash
}

// sooner is the shorter of two waits, of which zero means never.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
