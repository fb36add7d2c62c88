package delivery

import (
	"context"
	"time"

	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
	"github.com/example/myapp-hub/pkg/hub/aggregate"
)

// push carries an order to a Push member over its connection.
func (r *Reconciler) push(ctx context.Context, o order, engine *apply.Engine) (reconcile.Result, error) {
	switch {
	case o.row == nil || o.row.State == v1.PlacementStray:
		return reconcile.Result{}, r.pushStray(ctx, o, engine)
	case o.row.State == v1.PlacementRemoving:
		return r.pushRemoval(ctx, o, engine)
	default:
		return r.pushApply(ctx, o, engine)
	}
}

func (r *Reconciler) pushApply(ctx context.Context, o order, engine *apply.Engine) (reconcile.Result, error) {
	manifests, err := r.manifests(ctx, o)
	if err != nil {
		return reconcile.Result{}, r.failed(o, err)
	}
	observed, err := engine.Observe(ctx, r.owner(o))
	if err != nil {
		return reconcile.Result{}, err
	}
	if o.held() {
		set := apply.Compare(manifests, observed, v1.ReasonPaused, "spec.paused is true")
		r.report(o, aggregate.Report{Feedback: apply.Feedback(set, manifests, observed)})
		return reconcile.Result{}, nil
	}
	set, err := engine.Apply(ctx, r.owner(o), manifests, observed)
	if set.Writes() > 0 {
		logf.FromContext(ctx).V(1).Info("Applied", "changes", set.Changes)
	}
	if err != nil {
		if apply.Unreachable(err) {
			r.unanswered.note(o, time.Now())
		}
		return reconcile.Result{}, r.failed(o, err)
	}
	r.report(o, aggregate.Report{Feedback: apply.Feedback(set, manifests, observed)})
	return reconcile.Result{RequeueAfter: apply.RetryAfter(set)}, nil
}

func (r *Reconciler) pushRemoval(ctx context.Context, o order, engine *apply.Engine) (reconcile.Result, error) {
	if r.removed(o) || o.held() {
		return reconcile.Result{}, nil
	}
	live, err := r.confirmRemoval(ctx, o)
	if err != nil || live == nil {
		return reconcile.Result{}, err
	}
	removal, err := engine.Remove(ctx, r.owner(o), live.Spec.DeletionPolicy)
	if err != nil {
		return reconcile.Result{}, r.failed(o, err)
	}
	if wait := r.unanswered.wait(o, time.Now()); removal.Done && wait > 0 {
		r.report(o, aggregate.Report{Feedback: v1.Feedback{
			State: v1.FeedbackRemoving, Reason: v1.ReasonRemoving,
			Message: "the member is empty; looking once more, because it may still carry out a request that it did not answer",
		}})
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	r.report(o, aggregate.Report{Feedback: apply.RemovalFeedback(removal)})
	if removal.Done {
		logf.FromContext(ctx).V(1).Info("Removed", "policy", live.Spec.DeletionPolicy)
		return reconcile.Result{}, nil
	}
	return reconcile.Result{RequeueAfter: apply.RetryTerminating}, nil
}

// pushStray reports objects of the app that no decision explains. What the cache
// shows is confirmed by a live read: it may be behind a removal.
func (r *Reconciler) pushStray(ctx context.Context, o order, engine *apply.Engine) error {
	observed, err := engine.Observe(ctx, r.owner(o))
	if err != nil {
		return err
	}
	stray := false
	if !observed.Empty() {
		if stray, err = engine.Strays(ctx, r.owner(o)); err != nil {
			return err
		}
	}
	r.reportStray(o, stray)
	return nil
}

func (r *Reconciler) reportStray(o order, stray bool) {
	switch {
	case stray:
		r.report(o, aggregate.Report{Stray: true})
	case o.row != nil:
		r.report(o, aggregate.Report{Feedback: v1.Feedback{State: v1.FeedbackRemoved, Reason: v1.ReasonRemoved}})
	default:
		r.Reports.ForgetMember(o.app.UID, o.member)
	}
}
