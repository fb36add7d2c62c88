package members

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	v1 "github.com/example/myapp-hub/api/v1"
)

const (
	controllerName = "members"
	// slowestRetry is how long a pass that fails again and again waits at most.
	slowestRetry = 5 * time.Second
	// secretIndex finds MemberClusters by the Secret they name.
	secretIndex = "spec.kubeconfigSecretRef.name"
	// reconcileTimeout bounds the requests of one reconcile. It is shorter than
	// what is left of the leader's lease when it can no longer be renewed, so
	// that an old leader cannot write late.
	reconcileTimeout = 5 * time.Second
)

var (
	secretKind         = corev1.SchemeGroupVersion.WithKind("Secret")
	namespaceKind      = corev1.SchemeGroupVersion.WithKind("Namespace")
	serviceAccountKind = corev1.SchemeGroupVersion.WithKind("ServiceAccount")
	roleBindingKind    = rbacv1.SchemeGroupVersion.WithKind("RoleBinding")
)

func partial(kind schema.GroupVersionKind) *metav1.PartialObjectMetadata {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(kind)
	return object
}

// CacheByObject is what the hub's cache must be limited to for this package; to
// be merged into the manager's cache.Options.ByObject. The entries hold for the
// kind, also where another package reads it as a typed object.
//
//   - Secrets: metadata, in the hub's namespace
//   - ServiceAccounts, RoleBindings: metadata, those of the hub
//   - Namespaces: labels
//   - Leases, MemberReports: those named agent
//   - ConfigMaps: those that say how agents reach the hub
func CacheByObject(hubNamespace string) map[client.Object]cache.ByObject {
	ours := labels.SelectorFromSet(labels.Set{v1.LabelManagedBy: v1.ManagedBy})
	light := cache.TransformStripManagedFields()
	return map[client.Object]cache.ByObject{
		partial(secretKind): {
			// All of the hub's own namespace, for kubeconfigs; of others, what is
			// in mailboxes.
			Namespaces: map[string]cache.Config{hubNamespace: {}, metav1.NamespaceAll: {LabelSelector: ours}},
			Transform:  onlyHash,
		},
		partial(namespaceKind):      {Transform: onlyLabels},
		partial(serviceAccountKind): {Label: ours, Transform: light},
		partial(roleBindingKind):    {Label: ours, Transform: light},
		&corev1.ConfigMap{}: {
			Field:     fields.OneTermEqualSelector("metadata.name", v1.HubConfigMap),
			Transform: light,
		},
		&v1.MemberReport{}: {
			Field:     fields.OneTermEqualSelector("metadata.name", v1.AgentReport),
			Transform: light,
		},
		&coordinationv1.Lease{}: {
			Field:     fields.OneTermEqualSelector("metadata.name", v1.AgentLease),
			Transform: light,
		},
	}
}

// onlyLabels drops what is not read of a namespace.
func onlyLabels(in any) (any, error) {
	if object, ok := in.(client.Object); ok {
		object.SetManagedFields(nil)
		object.SetAnnotations(nil)
	}
	return in, nil
}

// onlyHash drops all annotations but the hub's hash: kubectl apply keeps the
// whole Secret, content included, in one of them.
func onlyHash(in any) (any, error) {
	if object, ok := in.(client.Object); ok {
		hash, ok := object.GetAnnotations()[v1.AnnotationContentHash]
		object.SetManagedFields(nil)
		object.SetAnnotations(nil)
		if ok {
			object.SetAnnotations(map[string]string{v1.AnnotationContentHash: hash})
		}
	}
	return in, nil
}

// SetupWithManager adds the controller of MemberClusters to the hub's manager.
// The Provider itself is started by the multicluster manager it was given to.
func (p *Provider) SetupWithManager(mgr manager.Manager) error {
	gauge, err := registerGauge(metrics.Registry)
	if err != nil {
		return err
	}
	if err := mgr.GetFieldIndexer().IndexField(context.Background(), &v1.MemberCluster{}, secretIndex, secretName); err != nil {
		return err
	}
	r := &reconciler{
		namespace: p.options.Namespace,
		provider:  p,
		clock:     p.options.Clock,
		reader:    mgr.GetCache(),
		live:      mgr.GetAPIReader(),
		writer:    mgr.GetClient(),
		connected: gauge,
		memories:  map[string]*memory{},
	}
	c, err := controller.New(controllerName, mgr, controller.Options{
		Reconciler:              r,
		MaxConcurrentReconciles: 4,
		NeedLeaderElection:      new(true),
		RecoverPanic:            new(true),
		CacheSyncTimeout:        2 * time.Minute,
		ReconciliationTimeout:   reconcileTimeout,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](200*time.Millisecond, slowestRetry),
	})
	if err != nil {
		return err
	}
	for _, s := range r.sources(mgr.GetCache()) {
		if err := c.Watch(s); err != nil {
			return err
		}
	}
	return nil
}

// sources are all that can change what is known of a member.
func (r *reconciler) sources(hub cache.Cache) []source.Source {
	byLabel := handler.TypedEnqueueRequestsFromMapFunc(memberOfMailbox)
	return []source.Source{
		source.Kind(hub, &v1.MemberCluster{}, &handler.TypedEnqueueRequestForObject[*v1.MemberCluster]{}),
		source.Kind(hub, partial(secretKind), handler.TypedEnqueueRequestsFromMapFunc(r.membersOfSecret)),
		source.Kind(hub, partial(namespaceKind), byLabel),
		source.Kind(hub, partial(serviceAccountKind), byLabel),
		source.Kind(hub, partial(roleBindingKind), byLabel),
		source.Kind(hub, &coordinationv1.Lease{}, handler.TypedEnqueueRequestsFromMapFunc(memberOfAgents[*coordinationv1.Lease])),
		source.Kind(hub, &v1.MemberReport{}, handler.TypedEnqueueRequestsFromMapFunc(memberOfAgents[*v1.MemberReport])),
		source.Kind(hub, &corev1.ConfigMap{}, handler.TypedEnqueueRequestsFromMapFunc(r.membersOfEndpoint)),
		r.provider.Changes(),
	}
}

func secretName(object client.Object) []string {
	member, ok := object.(*v1.MemberCluster)
	if !ok || member.Spec.KubeconfigSecretRef == nil {
		return nil
	}
	return []string{member.Spec.KubeconfigSecretRef.Name}
}

// membersOfSecret are the members that name the Secret; several may.
func (r *reconciler) membersOfSecret(ctx context.Context, secret *metav1.PartialObjectMetadata) []reconcile.Request {
	if secret.Namespace != r.namespace {
		if secret.Name == v1.JoinSecret || secret.Name == v1.CredentialSecret {
			return memberOfMailbox(ctx, secret)
		}
		return nil // a copy for an app
	}
	var members v1.MemberClusterList
	// The list is read from the cache's index; it fails only when that is
	// missing, and then SetupWithManager has failed before.
	if err := r.reader.List(ctx, &members, client.MatchingFields{secretIndex: secret.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return nil
	}
	requests := make([]reconcile.Request, 0, len(members.Items))
	for i := range members.Items {
		requests = append(requests, requestFor(members.Items[i].Name))
	}
	return requests
}

// memberOfMailbox goes by the label: it is what makes the object ours.
func memberOfMailbox(_ context.Context, object *metav1.PartialObjectMetadata) []reconcile.Request {
	if member := object.Labels[v1.LabelMember]; member != "" {
		return []reconcile.Request{requestFor(member)}
	}
	return nil
}

// membersOfEndpoint are all members for what the hub says of itself, and one for a copy.
func (r *reconciler) membersOfEndpoint(ctx context.Context, endpoint *corev1.ConfigMap) []reconcile.Request {
	if endpoint.Namespace != r.namespace {
		if member := endpoint.Labels[v1.LabelMember]; member != "" {
			return []reconcile.Request{requestFor(member)}
		}
		return nil
	}
	var members v1.MemberClusterList
	// Reading from the cache does not fail once it runs.
	if err := r.reader.List(ctx, &members, client.UnsafeDisableDeepCopy); err != nil {
		return nil
	}
	var requests []reconcile.Request
	for i := range members.Items {
		if members.Items[i].Spec.Mode == v1.ModePull {
			requests = append(requests, requestFor(members.Items[i].Name))
		}
	}
	return requests
}

// memberOfAgents goes by the namespace: what the agent writes has no labels.
func memberOfAgents[T client.Object](_ context.Context, object T) []reconcile.Request {
	if member, ok := strings.CutPrefix(object.GetNamespace(), v1.MailboxPrefix); ok && member != "" {
		return []reconcile.Request{requestFor(member)}
	}
	return nil
}

// registerGauge registers the metric, or returns the one that is registered.
func registerGauge(registry prometheus.Registerer) (*prometheus.GaugeVec, error) {
	gauge := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "myapp_hub_member_connected",
		Help: "1 when the member is Ready: it answers the hub (Push) or its agent renews its Lease (Pull).",
	}, []string{"member"})
	err := registry.Register(gauge)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		if existing, ok := already.ExistingCollector.(*prometheus.GaugeVec); ok {
			return existing, nil
		}
	}
	return gauge, err
}
