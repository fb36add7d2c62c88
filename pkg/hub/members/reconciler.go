package members

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/example/myapp-hub/api/v1"
)

const (
	// conflictRecheck is how often a foreign namespace in the place of a mailbox
	// is looked at: it has not our labels, so no event tells that it is gone.
	conflictRecheck = time.Minute
	// staleRecheck and staleLimit are for a cache that is behind the hub's own
	// last write: how often to look, and when to go on regardless, because the
	// API server may have been restored to a time before that write.
	staleRecheck = time.Second
	staleLimit   = 30 * time.Second
	// retryConflict is the wait after somebody else's write came in between,
	// retryGone that after the API server did not find what the cache shows. It may
	// say so in error, and then no event comes.
	retryConflict = 200 * time.Millisecond
	retryGone     = time.Second
)

// reconciler keeps what the hub knows of each MemberCluster. It is the only
// writer of MemberCluster.status.
type reconciler struct {
	namespace string
	provider  *Provider
	clock     clock.PassiveClock
	reader    client.Reader // the hub's cache
	live      client.Reader // the hub's API server
	writer    client.Client
	connected *prometheus.GaugeVec

	mu       sync.Mutex
	memories map[string]*memory
}

// memory is what is remembered of a MemberCluster between two reconciles. Only
// the worker that has the member's key touches it.
type memory struct {
	uid       types.UID
	secret    secretSeen
	heartbeat heartbeat
	// factsAt is when facts were last written.
	factsAt time.Time
	// written is the resourceVersion of the last own status write.
	written   string
	writtenAt time.Time
}

// observed is everything a decision is made of.
type observed struct {
	member     *v1.MemberCluster
	now        time.Time
	credential *credential // Push only
	connection ConnState   // Push only
	current    bool        // Push only: the connection is that of the credential
	mailbox    *mailbox    // Pull only
	heartbeat  heartbeat   // Pull only
	// facts are what was measured of the cluster; nil for nothing new.
	facts *v1.MemberReportSpec
}

// decision is what to do and what to report.
type decision struct {
	// drop ends the connection, ensure opens or keeps one.
	drop, ensure bool
	// accepted, joined and ready are the conditions to report; nil leaves one as it is.
	accepted, joined, ready *metav1.Condition
	// facts are what to report of the cluster; nil leaves it.
	facts *v1.MemberReportSpec
	// heard is when the member was last heard of; zero when this process never did.
	heard time.Time
	// wake is when to look again without an event; 0 for never.
	wake time.Duration
}

// Reconcile looks at one MemberCluster. In steady state it makes no request.
func (r *reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	member := &v1.MemberCluster{}
	if err := r.reader.Get(ctx, request.NamespacedName, member); apierrors.IsNotFound(err) {
		r.forget(request.Name)
		return reconcile.Result{}, nil
	} else if err != nil {
		return reconcile.Result{}, fmt.Errorf("reading MemberCluster %s: %w", request.Name, err)
	}
	m := r.remember(member)
	if m.behind(member, r.clock.Now()) {
		return reconcile.Result{RequeueAfter: staleRecheck}, nil
	}

	seen, err := r.observe(ctx, member, m)
	if err != nil {
		return reconcile.Result{}, err
	}
	plan := decide(seen)
	actErr := r.act(ctx, seen, plan)
	// What is known is reported also when acting failed.
	result, reportErr := r.report(ctx, seen, plan, m)
	if err := errors.Join(actErr, reportErr); err != nil {
		return reconcile.Result{}, err
	}
	return result, nil
}

func (r *reconciler) observe(ctx context.Context, member *v1.MemberCluster, m *memory) (observed, error) {
	seen := observed{member: member, now: r.clock.Now()}
	var err error
	if member.Spec.Mode == v1.ModePush {
		if seen.credential, err = r.observeCredential(ctx, member, m); err != nil {
			return seen, err
		}
		seen.current = r.provider.Has(member.Name, seen.credential.hash)
		seen.connection = r.provider.State(member.Name)
		if seen.current {
			// What was measured with an earlier credential may be of another cluster.
			seen.facts = r.provider.Facts(member.Name)
		}
		return seen, nil
	}
	if seen.mailbox, err = r.observeMailbox(ctx, member.Name); err != nil {
		return seen, err
	}
	lease := &coordinationv1.Lease{}
	key := client.ObjectKey{Namespace: v1.MailboxNamespace(member.Name), Name: v1.AgentLease}
	if err := r.reader.Get(ctx, key, lease); apierrors.IsNotFound(err) {
		lease = nil
	} else if err != nil {
		return seen, fmt.Errorf("reading Lease %s of member %s: %w", key, member.Name, err)
	}
	m.heartbeat = m.heartbeat.observe(lease, seen.now)
	seen.heartbeat = m.heartbeat
	seen.facts, err = r.observeReport(ctx, member.Name)
	return seen, err
}

// decide is pure.
func decide(seen observed) decision {
	d := decidePull
	if seen.member.Spec.Mode == v1.ModePush {
		d = decidePush
	}
	plan := d(seen)
	plan.accepted = acceptedCondition(seen.member)
	plan.facts = decideFacts(seen)
	if seen.member.IsServed() || seen.mailbox != nil && seen.mailbox.conflict {
		return plan
	}
	// Nothing is written to it, so there is no need for a connection either. Signs of
	// life are not recorded: they would be written again and again.
	plan.drop, plan.ensure, plan.wake, plan.heard = true, false, 0, time.Time{}
	plan.ready = condition(metav1.ConditionFalse, v1.ReasonNotAccepted, plan.accepted.Message)
	if seen.member.IsAccepted() {
		plan.ready = condition(metav1.ConditionFalse, v1.ReasonMemberLeaving,
			"spec.leave says to forget the member: the hub has nothing to do with it any more.")
	}
	return plan
}

func decidePush(seen observed) decision {
	if problem := seen.credential.problem; problem != nil {
		joined := *problem
		joined.Type = v1.ConditionJoined
		return decision{drop: true, joined: &joined, ready: problem, heard: seen.connection.LastHeard}
	}
	d := decision{
		ensure: true, heard: seen.connection.LastHeard,
		joined: conditionOf(v1.ConditionJoined, metav1.ConditionTrue, v1.ReasonJoined, "The hub has a kubeconfig of this member."),
	}
	if seen.current {
		// The state of an earlier credential says nothing of this one.
		d.ready = decideConnection(seen.connection)
	}
	return d
}

func decidePull(seen observed) decision {
	// A member may have been deleted and made again with the other mode.
	d := decision{drop: true, heard: seen.heartbeat.lastHeard(seen.now)}
	if seen.mailbox.conflict {
		d.ready, d.wake = seen.mailbox.conflictCondition(seen.member.Name), conflictRecheck
		return d
	}
	persisted := meta.FindStatusCondition(seen.member.Status.Conditions, v1.ConditionReady)
	d.joined = seen.mailbox.joinedCondition(seen.member.Name)
	d.ready, d.wake = seen.heartbeat.decide(seen.member.Name, persisted, seen.now)
	return d
}

func acceptedCondition(member *v1.MemberCluster) *metav1.Condition {
	if member.IsAccepted() {
		return conditionOf(v1.ConditionAccepted, metav1.ConditionTrue, v1.ReasonAccepted, "Apps may be placed on this member.")
	}
	return conditionOf(v1.ConditionAccepted, metav1.ConditionFalse, v1.ReasonNotAccepted,
		"spec.accepted is false: nothing is placed on this member or changed there. If it is the cluster that you expect, run kubectl myapp accept "+member.Name+".")
}

func (r *reconciler) act(ctx context.Context, seen observed, plan decision) error {
	name := seen.member.Name
	if plan.drop {
		r.provider.Drop(name)
	}
	if plan.ensure && seen.credential.fresh != nil {
		r.provider.Ensure(name, seen.member.Spec.Namespace, seen.credential.fresh, seen.credential.hash)
	}
	if seen.mailbox == nil {
		return nil
	}
	served := seen.member.IsServed()
	if seen.member.Spec.Leave != "" && !served {
		// Whoever has it leave deletes the mailbox now: nothing is made in it.
		return r.takeMailbox(ctx, name, seen.mailbox)
	}
	// First, for the right to take something back is a part of the mailbox.
	if err := r.ensureMailbox(ctx, name, served, seen.mailbox); err != nil {
		return err
	}
	if !served {
		if err := r.takeMailbox(ctx, name, seen.mailbox); err != nil {
			return err
		}
	}
	return r.retireJoin(ctx, name, seen.mailbox, seen.heartbeat.holder)
}

// report patches the status when its content changed, under a lock on the
// resourceVersion: what was decided on an older object must not be written.
func (r *reconciler) report(ctx context.Context, seen observed, plan decision, m *memory) (reconcile.Result, error) {
	plan = postponeFacts(plan, m.factsAt.Add(r.factsGap()).Sub(seen.now))
	result := reconcile.Result{RequeueAfter: plan.wake}
	next := nextStatus(seen.member, plan, seen.now)
	r.connected.WithLabelValues(seen.member.Name).Set(readiness(next))
	if equality.Semantic.DeepEqual(seen.member.Status, next) {
		return result, nil
	}
	patched := seen.member.DeepCopy()
	patched.Status = next
	err := r.writer.Status().Patch(ctx, patched, client.MergeFromWithOptions(seen.member, client.MergeFromWithOptimisticLock{}))
	switch {
	case apierrors.IsConflict(err):
		return reconcile.Result{RequeueAfter: retryConflict}, nil
	case apierrors.IsNotFound(err):
		return reconcile.Result{RequeueAfter: retryGone}, nil
	case err != nil:
		return reconcile.Result{}, fmt.Errorf("writing the status of MemberCluster %s: %w", seen.member.Name, err)
	}
	m.written, m.writtenAt = patched.ResourceVersion, seen.now
	if plan.facts != nil {
		m.factsAt = seen.now
	}
	return result, nil
}

// nextStatus is pure. The times in it are those of the last transition.
func nextStatus(member *v1.MemberCluster, plan decision, now time.Time) v1.MemberClusterStatus {
	next := *member.Status.DeepCopy()
	for _, is := range []*metav1.Condition{plan.accepted, plan.joined, plan.ready} {
		if is == nil {
			continue
		}
		c := *is
		c.ObservedGeneration = member.Generation
		c.LastTransitionTime = metav1.NewTime(now.Truncate(time.Second))
		meta.SetStatusCondition(&next.Conditions, c)
		next.ObservedGeneration = member.Generation
	}
	next.Taints = taints(member, next, now)
	next = withFacts(next, plan, member, now)
	switch {
	case plan.ready == nil:
	case plan.ready.Status == metav1.ConditionTrue:
		next.LastHeardTime = nil
	case plan.heard.IsZero():
		// Not heard of by this process: what was known stays.
	default:
		heard := metav1.NewTime(plan.heard.Truncate(time.Second))
		if next.LastHeardTime == nil || next.LastHeardTime.Before(&heard) {
			next.LastHeardTime = &heard
		}
	}
	return next
}

func readiness(status v1.MemberClusterStatus) float64 {
	if meta.IsStatusConditionTrue(status.Conditions, v1.ConditionReady) {
		return 1
	}
	return 0
}

// remember returns the memory of this very MemberCluster: one that was deleted
// and made again under the same name begins anew.
func (r *reconciler) remember(member *v1.MemberCluster) *memory {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.memories[member.Name]
	if m == nil || m.uid != member.UID {
		m = &memory{uid: member.UID}
		r.memories[member.Name] = m
	}
	return m
}

// forget ends everything that this process holds of a member. Nothing is
// deleted: mailbox, Works and what runs on the cluster stay.
func (r *reconciler) forget(name string) {
	r.provider.Drop(name)
	r.connected.DeleteLabelValues(name)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.memories, name)
}

// behind is true while the cache has not reached the last own write.
func (m *memory) behind(member *v1.MemberCluster, now time.Time) bool {
	if m.written == "" || now.Sub(m.writtenAt) > staleLimit {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(member.ResourceVersion, m.written)
	return err == nil && order < 0
}
