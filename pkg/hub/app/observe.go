package app

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
	"github.com/example/myapp-hub/pkg/hub/aggregate"
	"github.com/example/myapp-hub/pkg/hub/rollout"
)

// indexRevisionOwner is the index of ControllerRevisions by the UID of their app.
const indexRevisionOwner = "appUID"

// mailboxRecheck is when to look again at the mailbox of a member that was given up.
const mailboxRecheck = 2 * time.Second

// roomRecheck is when to look again whether a member has more room.
const roomRecheck = 30 * time.Second

// snapshot is all that a pass decides from. Nothing in it may be changed.
type snapshot struct {
	app *v1.MyApp
	// held says why the hub changes nothing, invalid what is wrong with the spec;
	// empty if there is nothing.
	held, invalid string
	// leaderSince is when this process began to decide, or was cut off for the last time: what
	// members did not say before is not held against them.
	leaderSince time.Time
	// spec is what follows from the spec and the fleet alone.
	spec checked
	*fleet
	reports map[string]aggregate.Report
	// namespace are the labels of the app's namespace; nil if they are not known.
	namespace labels.Set
	// ordered are those of the members that were given up whose mailbox still has
	// the order to run the app.
	ordered map[string]bool
	// reserved is what members were just given.
	reserved map[string]v1.Amounts
	// bounds are what the namespace's quotas leave to the app.
	bounds *bounds

	// others are the apps of spec.dependsOn that exist, by name; cycle are the names of apps
	// that depend on each other, this one among them.
	others map[string]*v1.MyApp
	cycle  []string

	// measured gives what Prometheus says; nil if none is asked.
	measured func(rollout.Question) rollout.Measured

	revisions []appsv1.ControllerRevision
}

// observe reads the snapshot from the cache, and copies nothing that is large. Its
// app is nil when the app is gone.
// The snapshot is nil when the cache is behind our own last write.
func (r *Reconciler) observe(ctx context.Context, key types.NamespacedName) (*snapshot, error) {
	app := &v1.MyApp{}
	if err := r.Client.Get(ctx, key, app, client.UnsafeDisableDeepCopy); err != nil {
		return &snapshot{}, client.IgnoreNotFound(err)
	}
	if r.own.Behind(app) {
		return nil, nil
	}
	fleet, err := r.fleets.now(ctx, r.Client)
	if err != nil {
		return nil, err
	}
	known := r.specs.of(app, fleet)
	s := &snapshot{
		app: app, held: r.held(), invalid: known.Problems, leaderSince: later(r.began.at, fleet.cutOff), spec: known,
		fleet: fleet, reports: r.Reports.Of(app.UID), ordered: map[string]bool{},
	}
	if r.Measurements != nil && known.Rollout != nil && known.Rollout.Progressive() {
		s.measured = r.Measurements.Of(key)
	}
	if fleet.capacity {
		s.reserved = r.given.of(r.Clock.Now())
	}
	if s.namespace, err = r.namespaceLabels(ctx, key.Namespace); err != nil {
		return nil, err
	}
	if err := r.dependencies(ctx, s); err != nil {
		return nil, err
	}
	for _, member := range v1.GivenUp(app) {
		ordered, err := r.ordered(ctx, app, member)
		if err != nil {
			return nil, err
		}
		s.ordered[member] = ordered
	}

	var revisions appsv1.ControllerRevisionList
	err = r.Client.List(ctx, &revisions, client.InNamespace(key.Namespace), client.MatchingFields{indexRevisionOwner: string(app.UID)}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("listing the revisions of %s: %w", key, err)
	}
	s.revisions = revisions.Items
	s.bounds, err = r.bounds(ctx, s)
	return s, err
}

// namespaceLabels are the labels of a namespace of the hub; nil if the cache does not show
// it.
func (r *Reconciler) namespaceLabels(ctx context.Context, name string) (labels.Set, error) {
	namespace := namespaceMeta()
	err := r.Client.Get(ctx, types.NamespacedName{Name: name}, namespace, client.UnsafeDisableDeepCopy)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading namespace %s: %w", name, err)
	}
	if namespace.Labels == nil {
		return labels.Set{}, nil
	}
	return namespace.Labels, nil
}

// namespaceMeta is a Namespace of which only the metadata is read.
func namespaceMeta() *metav1.PartialObjectMetadata {
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	return m
}

// ordered is true while a mailbox has the order to run the app. A Work that the
// cache does not show may be too new for it.
func (r *Reconciler) ordered(ctx context.Context, app *v1.MyApp, member string) (bool, error) {
	work := &v1.Work{}
	key := types.NamespacedName{Namespace: v1.MailboxNamespace(member), Name: v1.WorkName(app.Namespace, app.Name, app.UID)}
	err := r.Client.Get(ctx, key, work)
	if apierrors.IsNotFound(err) {
		ctx, cancel := context.WithTimeout(ctx, apply.RequestTimeout)
		defer cancel()
		err = r.Live.Get(ctx, key, work)
	}
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("reading Work %s: %w", key, err)
	}
	return err == nil && work.Spec.State != v1.WorkRemoved, nil
}

// wake is when to look again without an event: at mailboxes, whose Works bring no pass,
// and when time changes the decision; zero for never.
func (s *snapshot) wake(d decision, now time.Time) time.Duration {
	for _, ordered := range s.ordered {
		if ordered {
			return mailboxRecheck
		}
	}
	wake := time.Duration(0)
	if !d.wake.IsZero() {
		wake = max(d.wake.Sub(now), time.Millisecond)
	}
	if d.exceeded && (wake == 0 || wake > boundsRecheck) {
		wake = boundsRecheck
	}
	return wake
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// deleting is true once the app has been told to leave every member.
func (s *snapshot) deleting() bool { return s.app.DeletionTimestamp != nil }

// held says why the hub changes nothing, empty if it does.
func (r *Reconciler) held() string {
	if r.Guard == nil {
		return ""
	}
	message, _ := r.Guard.Held()
	return message
}
