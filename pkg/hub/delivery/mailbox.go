package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
	"github.com/example/myapp-hub/pkg/hub/aggregate"
	"github.com/example/myapp-hub/pkg/manifest"
)

const (
	// retryStale is when to look again after the cache was found to be behind.
	retryStale = 200 * time.Millisecond
	// retryUnconfirmed is when to look again at a removal that a live read does not
	// confirm. No event may come: an API server can say in error that there is no
	// such app.
	retryUnconfirmed = 5 * time.Second
)

// errStale says that the cache is behind what the API server has.
var errStale = errors.New("the cache is behind")

// lookAgain is the result of a pass that ends with an error, of which errStale is
// none.
func lookAgain(err error) (reconcile.Result, error) {
	if errors.Is(err, errStale) {
		return reconcile.Result{RequeueAfter: retryStale}, nil
	}
	return reconcile.Result{}, err
}

// unconfirmed is the result of a pass that could not confirm a removal.
func unconfirmed(err error) (reconcile.Result, error) {
	if err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{RequeueAfter: retryUnconfirmed}, nil
}

// pull carries an order to a Pull member: it keeps the Work in its mailbox.
func (r *Reconciler) pull(ctx context.Context, o order) (reconcile.Result, error) {
	work, err := r.work(ctx, o)
	if err != nil {
		return reconcile.Result{}, err
	}
	switch {
	case o.row == nil || o.row.State == v1.PlacementStray:
		r.reportStray(o, work != nil && work.Status.State != v1.FeedbackRemoved)
		return reconcile.Result{}, nil
	case o.row.State == v1.PlacementRemoving:
		return r.pullRemoval(ctx, o, work)
	case !specObserved(o.app):
		return reconcile.Result{}, nil
	default:
		return r.pullApply(ctx, o, work)
	}
}

// work is the app's Work in the member's mailbox as the cache shows it, nil if
// there is none.
func (r *Reconciler) work(ctx context.Context, o order) (*v1.Work, error) {
	work := &v1.Work{}
	err := r.Hub.Get(ctx, workKey(o), work)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the Work of %s for %s: %w", o.key(), o.member, err)
	}
	return work, nil
}

func workKey(o order) types.NamespacedName {
	return types.NamespacedName{Namespace: v1.MailboxNamespace(o.member), Name: v1.WorkName(o.app.Namespace, o.app.Name, o.app.UID)}
}

func (r *Reconciler) pullApply(ctx context.Context, o order, work *v1.Work) (reconcile.Result, error) {
	wanted, err := r.render(ctx, o)
	if err != nil {
		return reconcile.Result{}, r.failed(o, err)
	}
	frames := slices.Clone(wanted.manifests)
	missing, err := r.fill(ctx, o, &wanted, inWork(work))
	if err != nil {
		return reconcile.Result{}, r.failed(o, err)
	}
	if _, err := r.rules.Compile(wanted.policies.HealthRules); err != nil {
		r.unfinished(o, v1.FeedbackFailed, v1.ReasonRenderError, apply.Shorten(err.Error()))
		return reconcile.Result{}, nil
	}
	spec := presentSpec(o, frames, wanted)
	spec.HubEpoch = r.Guard.Epoch()
	reason, message, held := r.held(o)
	asWanted := work != nil && sameContent(work.Spec, spec) && (held || sameOrder(work.Spec, spec))
	switch {
	case missing != "":
		r.unfinished(o, v1.FeedbackFailed, v1.ReasonSecretMissing, missing)
		return reconcile.Result{}, nil
	case !asWanted && held:
		r.unfinished(o, v1.FeedbackProgressing, reason, "the mailbox is not as wanted: "+message)
		return reconcile.Result{}, nil
	case !asWanted:
		return r.writeWork(ctx, o, work, spec)
	}
	if !held {
		if err := r.deliverSecrets(ctx, o, work, wanted); errors.Is(err, errStale) {
			return lookAgain(err)
		} else if err != nil {
			return reconcile.Result{}, r.failed(o, err)
		}
	}
	feedback := believed(work, spec.ContentHash)
	if work.Status.ObservedGeneration == 0 { // a Work that was lost and made again has no report yet
		last := r.lastFeedback(o)
		feedback.Replicas, feedback.ReadyReplicas = last.Replicas, last.ReadyReplicas
	}
	if err := r.holdIfRestored(ctx, o, feedback); err != nil {
		return lookAgain(err)
	}
	r.report(o, aggregate.Report{Work: work.UID, Sequence: work.Status.Sequence, Feedback: feedback})
	return reconcile.Result{}, nil
}

// presentSpec is the order to have the manifests on the cluster. Secrets go into
// it without their content.
func presentSpec(o order, frames []manifest.Manifest, wanted rendered) v1.WorkSpec {
	spec := v1.WorkSpec{
		State: v1.WorkPresent, DeletionPolicy: o.app.Spec.DeletionPolicy, Namespace: o.cluster.Spec.Namespace,
		ContentHash: manifest.SetHash(wanted.manifests), Policies: wanted.policies,
	}
	name := v1.WorkName(o.app.Namespace, o.app.Name, o.app.UID)
	for _, m := range frames {
		if !slices.ContainsFunc(wanted.manifests, func(w manifest.Manifest) bool { return w.String() == m.String() }) {
			continue
		}
		spec.Manifests = append(spec.Manifests, runtime.RawExtension{Raw: m.Raw})
		if m.IsSecret() {
			spec.Secrets = append(spec.Secrets, v1.WorkSecret{Name: m.Name, MailboxName: mailboxSecret(name, m.Name)})
		}
	}
	return spec
}

// sameContent is true when the Work has what should be on the cluster. Manifests
// are known by their hash.
func sameContent(is, wanted v1.WorkSpec) bool {
	return is.State == wanted.State && is.ContentHash == wanted.ContentHash && apiequality.Semantic.DeepEqual(is.Secrets, wanted.Secrets)
}

// sameOrder is true when the Work says how to treat it, too. The app's generation
// may be older, if it changed nothing here.
func sameOrder(is, wanted v1.WorkSpec) bool {
	return is.HubEpoch == wanted.HubEpoch && is.Namespace == wanted.Namespace && apiequality.Semantic.DeepEqual(is.Policies, wanted.Policies)
}

// inWork gives the Secrets that the Work names. It does not know their hashes.
func inWork(work *v1.Work) func(manifest.Manifest) (string, bool) {
	return func(m manifest.Manifest) (string, bool) {
		return m.Hash, work != nil && slices.ContainsFunc(work.Spec.Secrets, func(s v1.WorkSecret) bool { return s.Name == m.Name })
	}
}

// believed is the agent's feedback, as far as it is about the Work's spec of now.
func believed(work *v1.Work, hash string) v1.Feedback {
	f := work.Status.Feedback
	about := work.Status.ObservedGeneration == work.Generation && (f.AppliedHash == "" || f.AppliedHash == hash)
	if !about || f.AppliedHash == "" && f.State == v1.FeedbackReady {
		f.State, f.AppliedHash = v1.FeedbackProgressing, ""
		f.Reason, f.Message = v1.ReasonUpdating, "in the mailbox; the agent has not applied it yet"
	}
	return f
}

// pullRemoval orders the agent to remove the app, and deletes the Work once the
// agent has confirmed. A Work that is missing means nothing: the order is given
// again.
func (r *Reconciler) pullRemoval(ctx context.Context, o order, work *v1.Work) (reconcile.Result, error) {
	if _, _, held := r.held(o); held {
		return reconcile.Result{}, nil
	}
	if r.removed(o) {
		return lookAgain(r.deleteWork(ctx, work))
	}
	if work == nil || work.Spec.State != v1.WorkRemoved || work.Spec.DeletionPolicy != o.cluster.RemovalPolicy(o.app) || work.Spec.HubEpoch != r.Guard.Epoch() {
		live, err := r.confirmRemoval(ctx, o)
		if err != nil || live == nil {
			return unconfirmed(err)
		}
		return r.writeWork(ctx, o, work, v1.WorkSpec{State: v1.WorkRemoved, DeletionPolicy: o.cluster.RemovalPolicy(live), Namespace: namespaceOf(o, work)})
	}
	feedback := work.Status.Feedback
	if work.Status.ObservedGeneration != work.Generation {
		feedback = v1.Feedback{State: v1.FeedbackRemoving, Reason: v1.ReasonRemoving, Message: "the agent has not taken up the removal yet"}
	}
	if err := r.holdIfRestored(ctx, o, feedback); err != nil {
		return lookAgain(err)
	}
	var err error
	if feedback.State == v1.FeedbackRemoved {
		if err = r.deleteWork(ctx, work); err != nil && !errors.Is(err, errStale) {
			return reconcile.Result{}, err
		}
	}
	r.report(o, aggregate.Report{Work: work.UID, Sequence: work.Status.Sequence, Feedback: feedback})
	return lookAgain(err)
}

// namespaceOf is where an app is removed from: where it was ordered to be, or else
// where it would be.
func namespaceOf(o order, work *v1.Work) string {
	if work != nil {
		return work.Spec.Namespace
	}
	if o.cluster != nil {
		return o.cluster.Spec.Namespace
	}
	return ""
}

// writeWork creates or updates the Work. The cache may be behind our own last
// write; then the write fails, and the request comes back.
func (r *Reconciler) writeWork(ctx context.Context, o order, work *v1.Work, spec v1.WorkSpec) (reconcile.Result, error) {
	stamp := r.stamp(o)
	spec.HubID, spec.HubEpoch = r.HubID, stamp.Epoch
	spec.App = v1.AppReference{Namespace: o.app.Namespace, Name: o.app.Name, UID: o.app.UID, Generation: stamp.Generation, SpecHash: stamp.SpecHash}
	ctx, cancel := context.WithTimeout(ctx, apply.RequestTimeout)
	defer cancel()
	var err error
	if work == nil {
		key := workKey(o)
		err = r.Hub.Create(ctx, &v1.Work{
			ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, Labels: map[string]string{v1.LabelManagedBy: v1.ManagedBy}},
			Spec:       spec,
		}, client.FieldOwner(v1.FieldManager))
	} else {
		updated := work.DeepCopy()
		updated.Spec = spec
		err = r.Hub.Update(ctx, updated, client.FieldOwner(v1.FieldManager))
	}
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return reconcile.Result{RequeueAfter: retryStale}, nil
	}
	if err != nil {
		return reconcile.Result{}, r.failed(o, fmt.Errorf("writing the Work of %s for %s: %w", o.key(), o.member, err))
	}
	state, reason := v1.FeedbackProgressing, v1.ReasonUpdating
	if spec.State == v1.WorkRemoved {
		state, reason = v1.FeedbackRemoving, v1.ReasonRemoving
	}
	r.unfinished(o, state, reason, "in the mailbox; the agent has not taken it up yet")
	return reconcile.Result{}, nil
}

// deleteWork deletes a Work that is carried out.
func (r *Reconciler) deleteWork(ctx context.Context, work *v1.Work) error {
	if work == nil {
		return nil
	}
	if err := r.deleteCached(ctx, work); err != nil {
		return fmt.Errorf("deleting the confirmed Work %s/%s: %w", work.Namespace, work.Name, err)
	}
	return nil
}

// deleteCached deletes exactly the object that the cache shows. One that has
// changed since or is said to be gone is errStale: only a cache that does not show
// it any more says that nothing is left to do.
func (r *Reconciler) deleteCached(ctx context.Context, object client.Object) error {
	ctx, cancel := context.WithTimeout(ctx, apply.RequestTimeout)
	defer cancel()
	err := r.Hub.Delete(ctx, object, client.Preconditions{UID: ptr.To(object.GetUID()), ResourceVersion: ptr.To(object.GetResourceVersion())})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return errStale
	}
	return err
}

// workOrder maps a Work to the request it belongs to.
func workOrder(work *v1.Work) (member string, app types.NamespacedName, ok bool) {
	member, ok = strings.CutPrefix(work.Namespace, v1.MailboxPrefix)
	return member, types.NamespacedName{Namespace: work.Spec.App.Namespace, Name: work.Spec.App.Name}, ok
}
