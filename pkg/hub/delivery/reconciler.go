package delivery

import (
	"context"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
	"github.com/example/myapp-hub/pkg/agent/health"
	"github.com/example/myapp-hub/pkg/hub/aggregate"
	"github.com/example/myapp-hub/pkg/hub/render"
	"github.com/example/myapp-hub/pkg/manifest"
)

// Reconciler carries one decision to one member.
type Reconciler struct {
	// Hub reads the hub's cache and writes Works. Live reads the hub's API server.
	Hub  client.Client
	Live client.Reader
	// Secrets reads the Secrets that may be copied to members, from a cache.
	Secrets cache.Cache
	// HubID is the hub's identity on members.
	HubID string
	// Reports receives what members say.
	Reports *Reports
	// Guard knows whether the hub may change anything at all.
	Guard Guard

	gates      *gates
	plans      plans
	unanswered apply.Unanswered
	covered    apply.Covered
	rules      health.Cache
	// requeue puts a request back into the queue.
	requeue func(mcreconcile.Request)
}

// Guard stops the hub when it finds that it was restored from a backup.
type Guard interface {
	// Epoch counts the releases after restores.
	Epoch() int64
	// Held is true while nothing may be changed on any member, and why.
	Held() (message string, held bool)
	// Hold stops the hub; evidence says what was found where.
	Hold(ctx context.Context, evidence string)
	// Saw notes a resourceVersion that the hub's API server has issued.
	Saw(version string)
	// Ahead is true for a resourceVersion that it has not issued yet.
	Ahead(ctx context.Context, version string) (bool, error)
	// SawEpoch notes an epoch that an object on a member carries.
	SawEpoch(epoch int64)
	// OnChange adds a function that is called when a hold begins or ends.
	OnChange(changed func())
}

// order is one app on one member, as it was read from the hub's cache.
type order struct {
	app     *v1.MyApp
	member  string
	cluster *v1.MemberCluster
	// row is nil when no decision is recorded about the member.
	row *v1.PlacementRow
}

func (o order) key() types.NamespacedName { return client.ObjectKeyFromObject(o.app) }

func (r *Reconciler) owner(o order) apply.Owner {
	return apply.Owner{HubID: r.HubID, Namespace: o.app.Namespace, Name: o.app.Name, UID: o.app.UID, Stamp: r.stamp(o)}
}

func (r *Reconciler) stamp(o order) manifest.Stamp {
	return manifest.Stamp{
		Epoch: r.Guard.Epoch(), Generation: o.app.Generation,
		SpecHash: r.plans.specHash(o.app), HubVersion: o.app.ResourceVersion,
	}
}

// held says why nothing may be changed on the member.
func (r *Reconciler) held(o order) (reason, message string, held bool) {
	if message, held := r.Guard.Held(); held {
		return v1.ReasonHubRestored, message, true
	}
	if reason, message, held := heldBy(o.cluster); held {
		return reason, message, true
	}
	switch {
	case o.app.DeletionTimestamp != nil:
	case o.app.Spec.Paused:
		return v1.ReasonPaused, "spec.paused is true", true
	case o.app.Status.Revision == "":
		return v1.ReasonSpecInvalid, "the spec is not valid, see the condition Stalled", true
	}
	return "", "", false
}

// heldBy says why nothing may be changed on a member, whatever the app.
func heldBy(cluster *v1.MemberCluster) (reason, message string, held bool) {
	switch {
	case cluster == nil:
	case !cluster.IsAccepted():
		return v1.ReasonNotAccepted, "the member is not accepted, see kubectl myapp accept " + cluster.Name, true
	case !cluster.IsServed():
		return v1.ReasonMemberLeaving, "spec.leave of MemberCluster " + cluster.Name + " says to forget it", true
	}
	return "", "", false
}

// mayNotWrite is asked before each write to a member: a pass that has begun must not go on
// once the member is to be left alone. Rows of a member are forgotten only after the same
// cache has shown that it is to be forgotten.
func (r *Reconciler) mayNotWrite(ctx context.Context, member string) (message string, held bool) {
	if message, held := r.Guard.Held(); held {
		return message, true
	}
	cluster := &v1.MemberCluster{}
	err := r.Hub.Get(ctx, types.NamespacedName{Name: member}, cluster, client.UnsafeDisableDeepCopy)
	if err != nil {
		return "", false // of a member that is gone the connection ends
	}
	_, message, held = heldBy(cluster)
	return message, held
}

// Reconcile reads the recorded decision and carries it out by the member's mode.
func (r *Reconciler) Reconcile(ctx context.Context, req mcreconcile.Request) (reconcile.Result, error) {
	o, err := r.observe(ctx, req)
	if err != nil {
		r.release(r.gates.drop(req))
		return reconcile.Result{}, err
	}
	ctx = logf.IntoContext(ctx, logf.FromContext(ctx).WithValues("app", req.NamespacedName.String(), "member", o.member))
	if result, err := r.takeBack(ctx, o, req.NamespacedName); err != nil || result.RequeueAfter > 0 {
		r.release(r.gates.drop(req))
		return result, err
	}
	if o.cluster == nil || o.cluster.Spec.Mode == v1.ModePull {
		r.release(r.gates.drop(req)) // parked while the member was another one, in Push mode
		if o.cluster == nil || o.app == nil {
			return reconcile.Result{}, nil
		}
		return r.pull(ctx, o)
	}
	if o.cluster.Spec.Leave == v1.LeaveForget {
		r.release(r.gates.drop(req)) // it is not even looked at
		return reconcile.Result{}, nil
	}
	link, note := r.gates.enter(req)
	if link == nil {
		r.explain(o, note)
		return reconcile.Result{}, nil
	}
	defer func() { r.release(r.gates.leave(o.member)) }()
	var result reconcile.Result
	if err := r.look(ctx, o.member, link); err != nil {
		return reconcile.Result{}, err
	}
	if o.app == nil {
		err = r.holdIfAhead(ctx, o.member, req.NamespacedName, link.engine)
	} else {
		result, err = r.push(ctx, o, link.engine)
	}
	if apply.Unreachable(err) {
		link.suspect()
	}
	return result, err
}

// release puts back a request that was parked and may now be tried.
func (r *Reconciler) release(parked mcreconcile.Request, ok bool) {
	if ok {
		r.requeue(parked)
	}
}

// observe reads the app, its row and the member, which are the cache's own and must
// not be changed. What is missing is nil, and nothing follows from its absence.
func (r *Reconciler) observe(ctx context.Context, req mcreconcile.Request) (order, error) {
	o := order{member: string(req.ClusterName)}
	cluster := &v1.MemberCluster{}
	switch err := r.Hub.Get(ctx, types.NamespacedName{Name: o.member}, cluster, client.UnsafeDisableDeepCopy); {
	case err == nil:
		o.cluster = cluster
	case !apierrors.IsNotFound(err):
		return o, err
	}
	app := &v1.MyApp{}
	if err := r.Hub.Get(ctx, req.NamespacedName, app, client.UnsafeDisableDeepCopy); err != nil {
		return o, client.IgnoreNotFound(err)
	}
	r.Guard.Saw(app.ResourceVersion)
	o.app = app
	o.row = rowOf(app, o.member)
	return o, nil
}

// specObserved is true once the status is about the spec. Until then the spec may be one
// that is not valid, and its policies count at once: they belong to no revision. The
// status that says which it is brings the request back.
func specObserved(app *v1.MyApp) bool { return app.Status.ObservedGeneration == app.Generation }

// rendered is what the row's revision and replicas mean for the member.
type rendered struct {
	manifests []manifest.Manifest
	secrets   []render.SecretCopy
	policies  v1.Policies
}

func (r *Reconciler) render(ctx context.Context, o order) (rendered, error) {
	in := render.Input{
		Namespace: o.app.Namespace, Name: o.app.Name, UID: o.app.UID,
		Stamp: r.stamp(o), HubID: r.HubID,
		Cluster: render.ClusterOf(o.cluster), Replicas: o.row.Replicas,
	}
	objects, err := r.plans.of(o.app, o.row.Revision).Render(in, func() (v1.MyAppSpec, error) { return r.template(ctx, o) })
	return rendered{manifests: objects.Manifests, secrets: objects.Secrets, policies: render.Policies(&o.app.Spec)}, err
}

// template is the template of the row's revision: the spec's own if the status
// says that it is that revision, else the stored one.
func (r *Reconciler) template(ctx context.Context, o order) (v1.MyAppSpec, error) {
	if specObserved(o.app) && o.app.Status.Revision == o.row.Revision {
		return render.Template(&o.app.Spec), nil
	}
	var stored appsv1.ControllerRevision
	key := types.NamespacedName{Namespace: o.app.Namespace, Name: o.row.Revision}
	if err := r.Hub.Get(ctx, key, &stored); err != nil {
		if apierrors.IsNotFound(err) {
			return v1.MyAppSpec{}, fmt.Errorf("the ControllerRevision %s, which the member is to have, was deleted: change the spec of the MyApp, or undo to a revision that is there", o.row.Revision)
		}
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
	if _, _, held := r.held(order{app: live, member: o.member, cluster: o.cluster}); held {
		return nil, nil
	}
	return live, nil
}

// explain reports why nothing can be done on a member that answers.
func (r *Reconciler) explain(o order, note string) {
	if note == "" || o.app == nil || o.row == nil || o.row.State == v1.PlacementStray {
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
	r.say(o, feedback)
}

// failed reports an error that will be tried again, and returns it. An app that
// cannot be rendered is not tried again before something changes, nor is one of a
// pass that a hold has ended: the hold itself brings the pass that reports it.
func (r *Reconciler) failed(o order, err error) error {
	if errors.Is(err, apply.ErrHeld) {
		return nil
	}
	var unrenderable *render.Error
	if errors.As(err, &unrenderable) {
		r.unfinished(o, v1.FeedbackFailed, unrenderable.Reason, apply.Shorten(unrenderable.Error()))
		return nil
	}
	r.say(o, apply.ErrorFeedback(r.lastFeedback(o), err))
	return err
}

// say reports what the hub itself has found. It takes the place of the member's
// last word about the decision, and gives way to the next.
func (r *Reconciler) say(o order, feedback v1.Feedback) {
	report := aggregate.Report{Feedback: feedback}
	if last, ok := r.Reports.get(o.app.UID, o.member); ok && o.row != nil && last.Decision == o.row.Decision {
		report.Work, report.Sequence = last.Work, last.Sequence
	}
	r.report(o, report)
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
	r.Reports.put(o.app.UID, o.key(), o.member, o.row, report)
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
