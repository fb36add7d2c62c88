package delivery

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
	"github.com/example/myapp-hub/pkg/hub/aggregate"
	"github.com/example/myapp-hub/pkg/hub/render"
	"github.com/example/myapp-hub/pkg/manifest"
)

// Reconciler carries one decision to one member.
type Reconciler struct {
	// Hub reads the hub's cache and writes Works. Live reads the hub's API server.
	Hub  client.Client
	Live client.Reader
	// HubID is the hub's identity on members.
	HubID string
	// Reports receives what members say.
	Reports *Reports

	gates      *gates
	unanswered unanswered
	// requeue puts a request back into the queue.
	requeue func(mcreconcile.Request)
}

// order is one app on one member, as it was read from the hub's cache.
type order struct {
	app    *v1.MyApp
	member string
	// row is nil when no decision is recorded about the member.
	row *v1.PlacementRow
}

func (o order) key() types.NamespacedName { return client.ObjectKeyFromObject(o.app) }

func (r *Reconciler) owner(o order) apply.Owner {
	return apply.Owner{HubID: r.HubID, Namespace: o.app.Namespace, Name: o.app.Name, UID: o.app.UID}
}

// held is true when nothing may be changed on the member.
func (o order) held() bool { return o.app.Spec.Paused && o.app.DeletionTimestamp == nil }

// Reconcile reads the recorded decision and carries it out by the member's mode.
func (r *Reconciler) Reconcile(ctx context.Context, req mcreconcile.Request) (reconcile.Result, error) {
	o, member, err := r.observe(ctx, req)
	if err != nil || o.app == nil || member == nil {
		if parked, ok := r.gates.drop(req); ok {
			r.requeue(parked)
		}
		return reconcile.Result{}, err
	}
	ctx = logf.IntoContext(ctx, logf.FromContext(ctx).WithValues("app", o.key().String(), "member", o.member))
	if member.Spec.Mode == v1.ModePull {
		if parked, ok := r.gates.drop(req); ok {
			r.requeue(parked) // parked while the member was another one, in Push mode
		}
		return r.pull(ctx, o)
	}
	link, note := r.gates.enter(req)
	if link == nil {
		r.explain(o, note)
		return reconcile.Result{}, nil
	}
	defer func() {
		if parked, ok := r.gates.leave(o.member); ok {
			r.requeue(parked)
		}
	}()
	result, err := r.push(ctx, o, link.engine)
	if apply.Unreachable(err) {
		link.suspect()
	}
	return result, err
}

// observe reads the app, its row and the member. What is missing is nil, and
// nothing follows from its absence.
func (r *Reconciler) observe(ctx context.Context, req mcreconcile.Request) (order, *v1.MemberCluster, error) {
	o := order{member: string(req.ClusterName)}
	app := &v1.MyApp{}
	if err := r.Hub.Get(ctx, req.NamespacedName, app); err != nil {
		return o, nil, client.IgnoreNotFound(err)
	}
	member := &v1.MemberCluster{}
	if err := r.Hub.Get(ctx, types.NamespacedName{Name: o.member}, member); err != nil {
		return o, nil, client.IgnoreNotFound(err)
	}
	o.app = app
	o.row = rowOf(app, o.member)
	return o, member, nil
}

// manifests renders what the row's revision and replicas mean for the member.
func (r *Reconciler) manifests(ctx context.Context, o order) ([]manifest.Manifest, error) {
	template, err := r.template(ctx, o)
	if err != nil {
		return nil, err
	}
	return render.Manifests(render.Input{
		Namespace: o.app.Namespace, Name: o.app.Name, UID: o.app.UID, Generation: o.app.Generation,
		HubID: r.HubID, Member: o.member,
		Template: template, Replicas: o.row.Replicas,
	})
}

// template is the template of the row's revision: the spec's own if the status
// says that it is that revision, else the stored one.
func (r *Reconciler) template(ctx context.Context, o order) (v1.MyAppSpec, error) {
	if o.app.Status.ObservedGeneration == o.app.Generation && o.app.Status.Revision == o.row.Revision {
		return render.Template(&o.app.Spec), nil
	}
	var stored appsv1.ControllerRevision
	key := types.NamespacedName{Namespace: o.app.Namespace, Name: o.row.Revision}
	if err := r.Hub.Get(ctx, key, &stored); err != nil {
		return v1.MyAppSpec{}, fmt.Errorf("reading revision %s of %s: %w", key, o.key(), err)
	}
	return render.ParseTemplate(stored.Data.Raw)
}

// confirmRemoval reads the app live: the order to remove must still stand. It
// must be positive; an app that is not found, or another one of the same name,
// orders nothing, and the result is nil.
func (r *Reconciler) confirmRemoval(ctx context.Context, o order) (*v1.MyApp, error) {
	ctx, cancel := context.WithTimeout(ctx, apply.RequestTimeout)
	defer cancel()
	live := &v1.MyApp{}
	if err := r.Live.Get(ctx, o.key(), live); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("confirming the removal of %s from %s: %w", o.key(), o.member, err)
	}
	row := rowOf(live, o.member)
	if live.UID != o.app.UID || row == nil || row.State != v1.PlacementRemoving || row.Decision != o.row.Decision {
		return nil, nil
	}
	if (order{app: live}).held() {
		return nil, nil
	}
	return live, nil
}

// explain reports why nothing can be done on a member that answers.
func (r *Reconciler) explain(o order, note string) {
	if note == "" || o.row == nil || o.row.State == v1.PlacementStray {
		return
	}
	r.unfinished(o, v1.FeedbackProgressing, v1.ReasonUnreadable, note)
}

// unfinished reports what the order still waits for. What the member last said
// of its pods stays known.
func (r *Reconciler) unfinished(o order, state v1.FeedbackState, reason, message string) {
	feedback := r.lastFeedback(o)
	feedback.State, feedback.AppliedHash = state, ""
	feedback.Reason, feedback.Message = reason, message
	r.report(o, aggregate.Report{Feedback: feedback})
}

// failed reports an error that will be tried again, and returns it.
func (r *Reconciler) failed(o order, err error) error {
	r.report(o, aggregate.Report{Feedback: apply.ErrorFeedback(r.lastFeedback(o), err)})
	return err
}

// lastFeedback is what the member last said, or what the row keeps of it.
func (r *Reconciler) lastFeedback(o order) v1.Feedback {
	if last, ok := r.Reports.get(o.app.UID, o.member); ok {
		return last.Feedback
	}
	return v1.Feedback{Replicas: o.row.CurrentReplicas, ReadyReplicas: o.row.ReadyReplicas}
}

func (r *Reconciler) report(o order, report aggregate.Report) {
	if o.row != nil {
		report.Decision = o.row.Decision
	}
	r.Reports.put(o.app.UID, o.key(), o.member, report)
}

// removed is true when the member has already confirmed this removal, and only
// the row is left.
func (r *Reconciler) removed(o order) bool {
	last, ok := r.Reports.get(o.app.UID, o.member)
	return ok && last.Decision == o.row.Decision && last.State == v1.FeedbackRemoved
}

func rowOf(app *v1.MyApp, member string) *v1.PlacementRow {
	for i := range app.Status.Placements {
		if app.Status.Placements[i].Cluster == member {
			return &app.Status.Placements[i]
		}
	}
	return nil
}
