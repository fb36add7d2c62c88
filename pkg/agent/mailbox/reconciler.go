package mailbox

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
	"github.com/example/myapp-hub/pkg/agent/health"
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

	rules      health.Cache
	own        consistency.OwnWrites
	windows    flush.Windows[types.NamespacedName]
	mu         sync.Mutex
	unreported map[types.NamespacedName]struct{}
	// seen is the highest resourceVersion of a Work.
	seen string
}

const (
	// staleRecheck is when to look again at a Work that the cache shows too old.
	staleRecheck = time.Second
	// retryUnconfirmed is when to look again at a removal that a live read does not
	// confirm. No event may come: the hub can say in error that there is no such Work.
	retryUnconfirmed = 5 * time.Second
	// retryOlder is when to look again at an order of a hub that was restored.
	retryOlder = 2 * time.Minute
)

// Reconcile is one pass over a Work: carry it out, report.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	work := &v1.Work{}
	if err := r.Hub.Get(ctx, req.NamespacedName, work); err != nil {
		r.windows.Forget(req.NamespacedName)
		r.noteUnreported(req.NamespacedName, false)
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	r.saw(work)
	if work.DeletionTimestamp != nil {
		return reconcile.Result{}, nil
	}
	if r.own.Behind(work) {
		return reconcile.Result{RequeueAfter: staleRecheck}, nil
	}
	ctx = logf.IntoContext(ctx, logf.FromContext(ctx).WithValues("app", work.Spec.App.Namespace+"/"+work.Spec.App.Name, "member", r.Engine.Member()))
	feedback, retry, failed := r.carryOut(ctx, work)
	wait, err := r.report(ctx, work, feedback)
	if err := cmp.Or(failed, err); err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{RequeueAfter: apply.Sooner(retry, wait)}, nil
}

// carryOut does what the Work orders. retry says when to look again if nothing
// happens, zero for never; an error is tried again with backoff.
func (r *Reconciler) carryOut(ctx context.Context, work *v1.Work) (feedback v1.Feedback, retry time.Duration, err error) {
	owner := ownerOf(work)
	if work.Spec.Namespace != r.Engine.Namespace() {
		return elsewhere(work.Spec.Namespace, r.Engine.Namespace()), 0, nil
	}
	switch work.Spec.State {
	case v1.WorkRemoved:
		feedback, retry, err = r.remove(ctx, owner, work)
	case v1.WorkPresent:
		feedback, retry, err = r.put(ctx, owner, work)
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

// elsewhere is the report of a Work that is for another part of the cluster than
// the agent's. Its app may be there: nothing is done, and nothing confirmed.
func elsewhere(ordered, own string) v1.Feedback {
	part := func(namespace string) string {
		if namespace == "" {
			return "the whole cluster"
		}
		return "namespace " + namespace
	}
	return v1.Feedback{
		State: v1.FeedbackFailed, Reason: v1.ReasonNotPermitted,
		Message: fmt.Sprintf("spec.namespace of the MemberCluster says that it is %s, and its agent runs for %s: start the agent with that --namespace", part(ordered), part(own)),
	}
}

// ownerOf is the app of a Work, at the point of its history that the Work is from.
func ownerOf(work *v1.Work) apply.Owner {
	app := work.Spec.App
	return apply.Owner{
		HubID: work.Spec.HubID, Namespace: app.Namespace, Name: app.Name, UID: app.UID,
		Stamp: manifest.Stamp{Epoch: work.Spec.HubEpoch, Generation: app.Generation, SpecHash: app.SpecHash},
	}
}

func (r *Reconciler) put(ctx context.Context, owner apply.Owner, work *v1.Work) (v1.Feedback, time.Duration, error) {
	manifests := make([]manifest.Manifest, 0, len(work.Spec.Manifests))
	for _, raw := range work.Spec.Manifests {
		m, err := manifest.Parse(raw.Raw)
		if err != nil {
			return rejected(err.Error()), 0, nil
		}
		manifests = append(manifests, m)
	}
	if hash := manifest.SetHash(manifests); len(manifests) == 0 || hash != work.Spec.ContentHash {
		return rejected("its manifests are not those that its content hash names"), 0, nil
	}
	rules, err := r.rules.Compile(work.Spec.Policies.HealthRules)
	if err != nil {
		return rejected(err.Error()), 0, nil
	}
	if missing, err := r.fill(ctx, work, manifests); err != nil || missing != "" {
		return v1.Feedback{State: v1.FeedbackProgressing, Reason: v1.ReasonPending, Message: missing}, 0, err
	}
	observed := r.Engine.Observe(owner)
	if observed.Lacks(manifests) {
		if reached, ahead, err := r.ahead(ctx, work); err != nil || ahead {
			return apply.Older(reached), retryOlder, err
		}
	}
	set, err := r.Engine.Apply(ctx, owner, manifests, work.Spec.Policies, observed)
	if set.Writes() > 0 {
		logf.FromContext(ctx).V(1).Info("Applied", "changes", set.Changes)
	}
	if err != nil {
		return v1.Feedback{}, 0, err
	}
	feedback, again := r.Engine.Diagnose(ctx, owner, apply.Feedback(set, manifests, observed, rules))
	return feedback, apply.Sooner(apply.RetryAfter(set), again), nil
}

// ahead is true if objects on the own cluster were written when the hub was further
// than it is: it was restored from a backup, and what is missing may have been
// deleted since. The hub has got at least as far as the Work that it wrote, so an
// order that is new costs no request.
func (r *Reconciler) ahead(ctx context.Context, work *v1.Work) (apply.Reached, bool, error) {
	reached := r.Engine.Reached(work.Spec.HubID)
	switch {
	case reached.Epoch < work.Spec.HubEpoch:
		return reached, false, nil
	case reached.Epoch > work.Spec.HubEpoch:
		return reached, true, nil
	}
	if !apply.LaterVersion(reached.Version, work.ResourceVersion) {
		return reached, false, nil
	}
	now, err := r.reached(ctx)
	return reached, apply.LaterVersion(reached.Version, now), err
}

// rejected is the report of a Work that cannot be carried out as it is.
func rejected(why string) v1.Feedback {
	return v1.Feedback{
		State: v1.FeedbackFailed, Reason: v1.ReasonRejected,
		Message: apply.Shorten("the Work is damaged: " + why + "; nothing was changed"),
	}
}

// fill puts the content of the mailbox's Secrets into the Secrets among the
// manifests. missing says which has not arrived; its arrival brings the Work back.
func (r *Reconciler) fill(ctx context.Context, work *v1.Work, manifests []manifest.Manifest) (missing string, err error) {
	for i, m := range manifests {
		if !m.IsSecret() {
			continue
		}
		at := slices.IndexFunc(work.Spec.Secrets, func(s v1.WorkSecret) bool { return s.Name == m.Name })
		if at < 0 {
			return "", fmt.Errorf("the Work %s/%s does not say where the content of %s is", work.Namespace, work.Name, m)
		}
		source := &corev1.Secret{}
		key := types.NamespacedName{Namespace: work.Namespace, Name: work.Spec.Secrets[at].MailboxName}
		if err := r.Hub.Get(ctx, key, source); apierrors.IsNotFound(err) {
			return fmt.Sprintf("waiting for the content of %s to arrive in the mailbox", m), nil
		} else if err != nil {
			return "", fmt.Errorf("reading Secret %s: %w", key, err)
		}
		if manifests[i], err = manifest.Fill(m, source); err != nil {
			return "", err
		}
	}
	return "", nil
}

func (r *Reconciler) remove(ctx context.Context, owner apply.Owner, work *v1.Work) (v1.Feedback, time.Duration, error) {
	if work.Status.ObservedGeneration == work.Generation && work.Status.State == v1.FeedbackRemoved {
		return work.Status.Feedback, 0, nil
	}
	if confirmed, err := r.confirmRemoval(ctx, work); err != nil || !confirmed {
		return work.Status.Feedback, retryUnconfirmed, err
	}
	removal, err := r.Engine.Remove(ctx, owner, work.Spec.DeletionPolicy)
	if err != nil {
		return v1.Feedback{}, 0, err
	}
	if removal.Done {
		logf.FromContext(ctx).V(1).Info("Removed", "policy", work.Spec.DeletionPolicy)
	}
	return apply.RemovalFeedback(removal), removal.Retry, nil
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
func (r *Reconciler) report(ctx context.Context, work *v1.Work, feedback v1.Feedback) (time.Duration, error) {
	key := client.ObjectKeyFromObject(work)
	w := r.windows.Of(key)
	if work.Status.ObservedGeneration == work.Generation && work.Status.Feedback == feedback {
		w.Clean()
		r.noteUnreported(key, false) // A report whose answer was lost has arrived.
		return 0, nil
	}
	status := v1.WorkStatus{
		ObservedGeneration: work.Generation, Sequence: work.Status.Sequence + 1,
		AppUID: string(work.Spec.App.UID), HubEpoch: work.Spec.HubEpoch,
		ObservedTime: metav1.NewTime(r.Clock.Now()), Feedback: feedback,
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
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		// Either the cache is behind, or the hub says so in error.
		return staleRecheck, nil
	case err != nil:
		return 0, fmt.Errorf("reporting in Work %s: %w", key, err)
	}
	r.own.Wrote(updated)
	r.saw(updated)
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

// WentBack is true when the hub's API server, which has just given out a version,
// is behind a Work that was seen: it was restored from a backup. It asks only if
// the version is lower, for it may be that of another store than the Works'.
func (r *Reconciler) WentBack(ctx context.Context, version string) (bool, error) {
	r.mu.Lock()
	seen := r.seen
	r.mu.Unlock()
	if !apply.LaterVersion(seen, version) {
		return false, nil
	}
	now, err := r.reached(ctx)
	return apply.LaterVersion(seen, now), err
}

// reached is the version at which the hub's API server is.
func (r *Reconciler) reached(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, apply.RequestTimeout)
	defer cancel()
	var page v1.WorkList
	if err := r.Live.List(ctx, &page, client.InNamespace(v1.MailboxNamespace(r.Engine.Member())), client.Limit(1)); err != nil {
		return "", fmt.Errorf("asking the hub's API server how far it is: %w", err)
	}
	return page.ResourceVersion, nil
}

func (r *Reconciler) saw(work *v1.Work) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == "" || apply.LaterVersion(work.ResourceVersion, r.seen) {
		r.seen = work.ResourceVersion
	}
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

// urgent is true for a report that must not wait: that the app is as wanted, or is
// so no more, or will not be. What it is on the way to may come a moment later and
// take the place of where it stands.
func urgent(before, after v1.WorkStatus) bool {
	if after.State == v1.FeedbackProgressing || after.State == v1.FeedbackRemoving {
		return before.State == v1.FeedbackReady
	}
	return before.ObservedGeneration != after.ObservedGeneration ||
		before.State != after.State || before.AppliedHash != after.AppliedHash
}
