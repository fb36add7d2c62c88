package delivery

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/example/myapp-hub/api/v1"
)

// takeBack ends the orders in mailboxes that nobody waits for: their app is gone, or
// leaves a member that was given up.
func (r *Reconciler) takeBack(ctx context.Context, o order, app types.NamespacedName) (reconcile.Result, error) {
	switch {
	case o.app == nil, o.row == nil, o.row.State == v1.PlacementStray:
		return lookAgain(r.sweep(ctx, o, app))
	case abandoned(o):
		return r.withdraw(ctx, o)
	default:
		return reconcile.Result{}, nil
	}
}

// abandoned is true when a person has given up a member that is a Pull member no
// longer: its MemberCluster is gone, or in Push mode.
func abandoned(o order) bool {
	return o.row != nil && o.row.State == v1.PlacementRemoving &&
		(o.cluster == nil || o.cluster.Spec.Mode != v1.ModePull) && slices.Contains(v1.GivenUp(o.app), o.member)
}

// withdraw sees to it that the mailbox of an abandoned member does not order the
// app to be there: an agent that lives, or returns, would keep it for ever. Where
// there is no Work there is nothing to take back.
func (r *Reconciler) withdraw(ctx context.Context, o order) (reconcile.Result, error) {
	work, err := r.work(ctx, o)
	if err != nil || work == nil {
		return reconcile.Result{}, err
	}
	return r.pullRemoval(ctx, o, work)
}

// sweep ends the orders to remove an app that no row waits for, because their
// member was given up: once an agent has carried them out. Their Secrets go at once,
// for a removal needs none. An order that says anything else is left alone: that the
// app is missing is no reason to change it. Of a member that is forgotten they are taken
// back at once: what was forgotten must not be removed later, should the agent get its
// mailbox again.
func (r *Reconciler) sweep(ctx context.Context, o order, app types.NamespacedName) error {
	forgotten := o.cluster != nil && o.cluster.Spec.Leave == v1.LeaveForget
	if _, held := r.Guard.Held(); held {
		return nil
	}
	var works v1.WorkList
	if err := r.Hub.List(ctx, &works, client.InNamespace(v1.MailboxNamespace(o.member)), client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing the Works of %s: %w", o.member, err)
	}
	for i := range works.Items {
		work := &works.Items[i]
		if _, of, _ := workOrder(work); of != app || work.Spec.State != v1.WorkRemoved {
			continue
		}
		var err error
		if forgotten || work.Status.ObservedGeneration == work.Generation && work.Status.State == v1.FeedbackRemoved {
			err = r.deleteWork(ctx, work) // its Secrets go with it
		} else {
			err = r.dropSecrets(ctx, work, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
