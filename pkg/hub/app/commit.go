package app

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
	"github.com/example/myapp-hub/pkg/hub/render"
)

// commit makes the decision so, in the order that a crash at any point can
// stand: the finalizer before the first row, the revision before a row names
// it, the rows before anything happens on a member, and the finalizer goes when
// the last row has. Nothing is written when nothing changed.
func (r *Reconciler) commit(ctx context.Context, s *snapshot, d decision) (reconcile.Result, error) {
	if d.gone {
		if err := r.release(ctx, s, d); err != nil {
			return stale(err)
		}
		return reconcile.Result{}, nil
	}
	if b := s.bounds; b != nil && !r.ledger.Claim(s.app.Namespace, s.app.UID, b.of(d.status.Placements), b.version) {
		return reconcile.Result{RequeueAfter: retryClaim}, nil
	}
	if wait := r.wait(s, d); wait > 0 {
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	app, err := r.hold(ctx, s.app)
	if err != nil {
		return stale(err)
	}
	if err := r.record(ctx, s, d.revision); err != nil {
		return stale(err)
	}
	if err := r.writeStatus(ctx, app, d); err != nil {
		return stale(err)
	}
	if d.changed && s.capacity {
		r.given.add(s.app.Status.Placements, d.status.Placements, s.spec.Pod, r.Clock.Now())
	}
	logForced(ctx, s, d)
	r.forgetDropped(s, d)
	if err := r.pruneRevisions(ctx, s, d); err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{RequeueAfter: s.wake(d, r.Clock.Now())}, nil
}

// retryClaim is the wait after another app of the namespace was faster.
const retryClaim = 10 * time.Millisecond

// stale is the result of a write that failed. After a conflict, or when the object
// is not found, the cache is behind, and the event that brings what is newer brings
// the next pass; it does not come if the API server was in error.
func stale(err error) (reconcile.Result, error) {
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return reconcile.Result{RequeueAfter: staleRecheck}, nil
	}
	return reconcile.Result{}, err
}

// hold adds the finalizer and returns the app as it is then.
func (r *Reconciler) hold(ctx context.Context, app *v1.MyApp) (*v1.MyApp, error) {
	if app.DeletionTimestamp != nil || controllerutil.ContainsFinalizer(app, v1.Finalizer) {
		return app, nil
	}
	app = app.DeepCopy()
	return app, r.patchFinalizers(ctx, app, func() { controllerutil.AddFinalizer(app, v1.Finalizer) })
}

// release removes the finalizer once no member has the app.
func (r *Reconciler) release(ctx context.Context, s *snapshot, d decision) error {
	logForced(ctx, s, d) // before the answer to the last write can be lost
	if app := s.app.DeepCopy(); controllerutil.ContainsFinalizer(app, v1.Finalizer) {
		if err := r.patchFinalizers(ctx, app, func() { controllerutil.RemoveFinalizer(app, v1.Finalizer) }); err != nil {
			return err // The next pass needs the reports.
		}
	}
	r.Reports.Forget(s.app.UID)
	r.own.Forget(s.app.UID)
	return nil
}

// logForced keeps a trace of what a person took upon themselves.
func logForced(ctx context.Context, s *snapshot, d decision) {
	if len(d.forced) > 0 {
		logf.FromContext(ctx).Info("Members are not waited for any longer, because the app's annotation says so; what they have of it is left there",
			"app", client.ObjectKeyFromObject(s.app).String(), "uid", s.app.UID, "members", d.forced)
	}
}

func (r *Reconciler) patchFinalizers(ctx context.Context, app *v1.MyApp, mutate func()) error {
	base := app.DeepCopy()
	mutate()
	ctx, cancel := context.WithTimeout(ctx, apply.RequestTimeout)
	defer cancel()
	if err := r.Client.Patch(ctx, app, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{}), client.FieldOwner(v1.FieldManager)); err != nil {
		return fmt.Errorf("writing the finalizer of %s/%s: %w", app.Namespace, app.Name, err)
	}
	r.own.Wrote(app)
	return nil
}

// record creates the ControllerRevision of the current spec if it is missing, and makes one
// that is there the newest.
// The cache may be behind: then it exists already, with this content or, after
// a collision that the next pass will see, with another.
func (r *Reconciler) record(ctx context.Context, s *snapshot, revision render.Revision) error {
	if s.deleting() || revision.Name == "" {
		return nil
	}
	newest := int64(0)
	for _, old := range s.revisions {
		newest = max(newest, old.Revision)
	}
	if i := slices.IndexFunc(s.revisions, named(revision.Name)); i >= 0 {
		return r.renumber(ctx, &s.revisions[i], newest, s.app.Status.Revision)
	}
	ctx, cancel := context.WithTimeout(ctx, apply.RequestTimeout)
	defer cancel()
	object := &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.app.Namespace, Name: revision.Name,
			Labels:          map[string]string{v1.LabelApp: s.app.Name, v1.LabelAppUID: string(s.app.UID), v1.LabelManagedBy: v1.ManagedBy},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(s.app, v1.GroupVersion.WithKind("MyApp"))},
		},
		Data:     runtime.RawExtension{Raw: revision.Data},
		Revision: newest + 1,
	}
	err := r.Client.Create(ctx, object, client.FieldOwner(v1.FieldManager))
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	var existing appsv1.ControllerRevision
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(object), &existing); err != nil {
		return fmt.Errorf("reading revision %s that exists already: %w", revision.Name, err)
	}
	if !metav1.IsControlledBy(&existing, s.app) || !bytes.Equal(existing.Data.Raw, revision.Data) {
		return fmt.Errorf("ControllerRevision %s/%s exists and is not this app's; delete it, or wait until it is gone", existing.Namespace, existing.Name)
	}
	return nil
}

// renumber makes a revision that is current again the newest: its number says when it was
// current last.
func (r *Reconciler) renumber(ctx context.Context, revision *appsv1.ControllerRevision, newest int64, before string) error {
	if revision.Name == before || revision.Revision == newest {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, apply.RequestTimeout)
	defer cancel()
	next := revision.DeepCopy()
	next.Revision = newest + 1
	if err := r.Client.Patch(ctx, next, client.MergeFromWithOptions(revision, client.MergeFromWithOptimisticLock{}), client.FieldOwner(v1.FieldManager)); err != nil {
		return fmt.Errorf("numbering revision %s/%s anew: %w", revision.Namespace, revision.Name, err)
	}
	return nil
}

// writeStatus writes the status if it changed, against the resourceVersion it
// was decided from. Of the answer only the metadata is asked for.
func (r *Reconciler) writeStatus(ctx context.Context, app *v1.MyApp, d decision) error {
	if !d.changed {
		return nil
	}
	data, err := statusPatch(app, &d.status)
	if err != nil {
		return err
	}
	written := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: app.Namespace, Name: app.Name}}
	written.SetGroupVersionKind(v1.GroupVersion.WithKind("MyApp"))
	ctx, cancel := context.WithTimeout(ctx, apply.RequestTimeout)
	defer cancel()
	if err := r.Client.Status().Patch(ctx, written, client.RawPatch(types.JSONPatchType, data), client.FieldOwner(v1.FieldManager)); err != nil {
		return fmt.Errorf("writing the status of %s/%s: %w", app.Namespace, app.Name, err)
	}
	r.own.Wrote(written)
	r.windows.Of(client.ObjectKeyFromObject(app)).Written(r.Clock.Now())
	return nil
}

// forgetDropped drops the reports of rows that are gone for good.
func (r *Reconciler) forgetDropped(s *snapshot, d decision) {
	if !d.changed {
		return
	}
	kept := make(map[string]bool, len(d.status.Placements))
	for i := range d.status.Placements {
		kept[d.status.Placements[i].Cluster] = true
	}
	for i := range s.app.Status.Placements {
		if name := s.app.Status.Placements[i].Cluster; !kept[name] {
			r.Reports.ForgetMember(s.app.UID, name)
		}
	}
}

// pruneRevisions deletes the oldest revisions that no row uses and that are
// beyond the limit.
func (r *Reconciler) pruneRevisions(ctx context.Context, s *snapshot, d decision) error {
	limit := 10
	if s.app.Spec.RevisionHistoryLimit != nil {
		limit = int(*s.app.Spec.RevisionHistoryLimit)
	}
	if s.deleting() || len(s.revisions) <= limit {
		return nil
	}
	used := map[string]bool{d.revision.Name: true}
	for _, status := range []*v1.MyAppStatus{&s.app.Status, &d.status} {
		if status.Rollout != nil {
			used[status.Rollout.StableRevision] = true
		}
		for i := range status.Placements {
			used[status.Placements[i].Revision], used[status.Placements[i].PreviousRevision] = true, true
		}
	}
	unused := slices.DeleteFunc(slices.Clone(s.revisions), func(c appsv1.ControllerRevision) bool { return used[c.Name] })
	slices.SortFunc(unused, func(a, b appsv1.ControllerRevision) int { return cmp.Compare(a.Revision, b.Revision) })
	for i := range max(0, len(unused)-limit) {
		if err := r.deleteRevision(ctx, &unused[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reconciler) deleteRevision(ctx context.Context, old *appsv1.ControllerRevision) error {
	ctx, cancel := context.WithTimeout(ctx, apply.RequestTimeout)
	defer cancel()
	err := r.Client.Delete(ctx, old, client.Preconditions{UID: &old.UID, ResourceVersion: &old.ResourceVersion})
	if err = client.IgnoreNotFound(err); err != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("deleting revision %s/%s beyond the history limit: %w", old.Namespace, old.Name, err)
	}
	return nil
}

func named(name string) func(appsv1.ControllerRevision) bool {
	return func(c appsv1.ControllerRevision) bool { return c.Name == name }
}
