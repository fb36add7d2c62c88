package delivery

import (
	"context"

	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
	"github.com/example/myapp-hub/pkg/hub/aggregate"
)

// push carries an order to a Push member over its connection.
func (r *Reconciler) push(ctx context.Context, o order, engine *apply.Engine) (reconcile.Result, error) {
	if err := r.holdIfAhead(ctx, o.member, o.key(), engine); err != nil {
		return reconcile.Result{}, err
	}
	switch {
	case o.row == nil || o.row.State == v1.PlacementStray:
		return reconcile.Result{}, r.pushStray(ctx, o, engine)
	case o.row.State == v1.PlacementRemoving:
		return r.pushRemoval(ctx, o, engine)
	case !specObserved(o.app):
		return reconcile.Result{}, nil
	default:
		return r.pushApply(ctx, o, engine)
	}
}

func (r *Reconciler) pushApply(ctx context.Context, o order, engine *apply.Engine) (reconcile.Result, error) {
	wanted, err := r.render(ctx, o)
	if err != nil {
		return reconcile.Result{}, r.failed(o, err)
	}
	rules, err := r.rules.Compile(wanted.policies.HealthRules)
	if err != nil {
		r.unfinished(o, v1.FeedbackFailed, v1.ReasonRenderError, apply.Shorten(err.Error()))
		return reconcile.Result{}, nil
	}
	owner := r.owner(o)
	observed := engine.Observe(owner)
	missing, err := r.fill(ctx, o, &wanted, observed.HashOf)
	if err != nil {
		return reconcile.Result{}, r.failed(o, err)
	}
	if reason, message, held := r.held(o); held {
		set := apply.Compare(wanted.manifests, observed, reason, message)
		r.report(o, aggregate.Report{Feedback: apply.Feedback(set, wanted.manifests, observed, rules)})
		return reconcile.Result{}, nil
	}
	if missing != "" {
		r.unfinished(o, v1.FeedbackFailed, v1.ReasonSecretMissing, missing)
		return reconcile.Result{}, nil
	}
	set, err := engine.Apply(ctx, owner, wanted.manifests, wanted.policies, observed)
	if set.Writes() > 0 {
		logf.FromContext(ctx).V(1).Info("Applied", "changes", set.Changes)
	}
	if err != nil {
		return reconcile.Result{}, r.failed(o, err)
	}
	feedback, again := engine.Diagnose(ctx, owner, apply.Feedback(set, wanted.manifests, observed, rules))
	if err := r.holdIfRestored(ctx, o, feedback); err != nil {
		return lookAgain(err)
	}
	r.report(o, aggregate.Report{Feedback: feedback})
	return reconcile.Result{RequeueAfter: apply.Sooner(apply.RetryAfter(set), again)}, nil
}

func (r *Reconciler) pushRemoval(ctx context.Context, o order, engine *apply.Engine) (reconcile.Result, error) {
	if _, _, held := r.held(o); held || r.removed(o) {
		return reconcile.Result{}, nil
	}
	live, err := r.confirmRemoval(ctx, o)
	if err != nil || live == nil {
		return unconfirmed(err)
	}
	policy := o.cluster.RemovalPolicy(live)
	removal, err := engine.Remove(ctx, r.owner(o), policy)
	if err != nil {
		return reconcile.Result{}, r.failed(o, err)
	}
	feedback := apply.RemovalFeedback(removal)
	if err := r.holdIfRestored(ctx, o, feedback); err != nil {
		return lookAgain(err)
	}
	r.report(o, aggregate.Report{Feedback: feedback})
	if removal.Done {
		logf.FromContext(ctx).V(1).Info("Removed", "policy", policy)
	}
	return reconcile.Result{RequeueAfter: removal.Retry}, nil
}

// pushStray reports objects of the app that no decision explains. What the cache
// shows is confirmed by a live read: it may be behind a removal.
func (r *Reconciler) pushStray(ctx context.Context, o order, engine *apply.Engine) error {
	stray := false
	if !engine.Observe(r.owner(o)).Empty() {
		var err error
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
