package certificate

import (
	"fmt"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

const (
	controllerName   = "certificate"
	reconcileTimeout = 5 * time.Second
	firstRetry       = 100 * time.Millisecond
	slowestRetry     = 30 * time.Second
)

// Setup has a replica of the hub keep the certificate, with a client that reads through a
// cache of two objects: the hub's other cache has no content of Secrets.
func Setup(mgr manager.Manager, k *Keeper) error {
	objects, err := cache.New(mgr.GetConfig(), cache.Options{
		HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(),
		DefaultTransform:            cache.TransformStripManagedFields(),
		ReaderFailOnMissingInformer: true,
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Secret{}: {
				Namespaces: map[string]cache.Config{k.Namespace: {}},
				Field:      fields.OneTermEqualSelector("metadata.name", SecretName),
			},
			&admissionv1.ValidatingWebhookConfiguration{}: {Field: fields.OneTermEqualSelector("metadata.name", ConfigurationName)},
		},
	})
	if err != nil {
		return fmt.Errorf("making the cache of the webhook's certificate: %w", err)
	}
	if err := mgr.Add(everywhere{objects}); err != nil {
		return fmt.Errorf("adding the cache of the webhook's certificate: %w", err)
	}
	k.Client, err = client.New(mgr.GetConfig(), client.Options{
		HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(),
		Cache: &client.CacheOptions{Reader: objects},
	})
	if err != nil {
		return fmt.Errorf("making the client of the webhook's certificate: %w", err)
	}
	k.Log = mgr.GetLogger().WithName(controllerName)
	c, err := controller.New(controllerName, mgr, controller.Options{
		Reconciler: k, MaxConcurrentReconciles: 1, NeedLeaderElection: new(false), RecoverPanic: new(true),
		ReconciliationTimeout: reconcileTimeout,
		RateLimiter:           workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, slowestRetry),
	})
	if err != nil {
		return fmt.Errorf("making the controller of the webhook's certificate: %w", err)
	}
	for _, watch := range []source.Source{
		source.Kind(objects, &corev1.Secret{}, &handler.TypedEnqueueRequestForObject[*corev1.Secret]{}),
		source.Kind(objects, &admissionv1.ValidatingWebhookConfiguration{}, &handler.TypedEnqueueRequestForObject[*admissionv1.ValidatingWebhookConfiguration]{}),
	} {
		if err := c.Watch(watch); err != nil {
			return fmt.Errorf("watching for the webhook's certificate: %w", err)
		}
	}
	return nil
}

// everywhere is a cache of leaders and followers alike.
type everywhere struct{ cache.Cache }

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (everywhere) NeedLeaderElection() bool { return false }
