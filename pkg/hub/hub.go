package hub

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync/atomic"
	"time"
	"unique"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"
	mcmanager "sigs.k8s.io/multicluster-runtime/pkg/manager"
	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
	"github.com/example/myapp-hub/pkg/agent/health"
	"github.com/example/myapp-hub/pkg/consistency"
	"github.com/example/myapp-hub/pkg/hub/app"
	"github.com/example/myapp-hub/pkg/hub/certificate"
	"github.com/example/myapp-hub/pkg/hub/delivery"
	"github.com/example/myapp-hub/pkg/hub/measure"
	"github.com/example/myapp-hub/pkg/hub/members"
	"github.com/example/myapp-hub/pkg/hub/restore"
	"github.com/example/myapp-hub/pkg/hub/webhook"
	"github.com/example/myapp-hub/pkg/version"
)

// shutdownTimeout is how long requests under way may take when the hub stops.
const shutdownTimeout = 10 * time.Second

// Run runs the hub until ctx ends or it loses its Lease. The process must exit
// when it returns.
func Run(ctx context.Context, o Options) error {
	if err := o.Validate(); err != nil {
		return err
	}
	scheme, err := newScheme()
	if err != nil {
		return err
	}
	config := rest.CopyConfig(o.Config)
	config.QPS = -1 // API priority and fairness does the rest.
	direct, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("making a client for the hub: %w", err)
	}
	id, err := hubID(ctx, direct, o.Namespace)
	if err != nil {
		return err
	}

	username, err := whoAmI(ctx, direct)
	if err != nil {
		return err
	}
	provider, err := members.New(members.Options{
		Namespace: o.Namespace,
		Username:  username,
		Mapper:    apply.NewMapper,

		FactsInterval: o.FactsInterval,
		CacheOptions: func(member, namespace string) cache.Options {
			return apply.CacheOptions(id, member, namespace)
		},
		Log: o.Log.WithName("members"),
	})
	if err != nil {
		return fmt.Errorf("making the members: %w", err)
	}
	keeper := o.keeper()
	mgr, err := mcmanager.New(config, provider, managerOptions(o, scheme, o.webhookServer(keeper)))
	if err != nil {
		return fmt.Errorf("making the manager: %w", err)
	}
	guard := restore.New(restore.NewStore(direct, o.Namespace), o.Namespace, o.Log.WithName("restore"))
	prometheus, err := measure.New(o.Prometheus)
	if err != nil {
		return err
	}
	if err := setup(ctx, mgr, provider, guard, prometheus, id); err != nil {
		return err
	}
	if err := setupWebhook(mgr.GetLocalManager(), o, keeper); err != nil {
		return err
	}
	o.Log.Info("Starting the hub", "version", version.String(), "hubID", id, "namespace", o.Namespace)
	return mgr.Start(ctx)
}

// setup adds the hub's controllers: who the members are, what is decided about
// apps, and how decisions reach the members.
func setup(ctx context.Context, mgr mcmanager.Manager, provider *members.Provider, guard *restore.Guard, prometheus *measure.Prometheus, id string) error {
	local := mgr.GetLocalManager()
	if err := delivery.AddIndexes(ctx, local.GetFieldIndexer()); err != nil {
		return err
	}
	if err := app.AddIndexes(ctx, local.GetFieldIndexer()); err != nil {
		return err
	}
	if err := provider.SetupWithManager(local); err != nil {
		return fmt.Errorf("setting up members: %w", err)
	}
	if err := apply.RegisterMetrics(); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	reports := delivery.NewReports()
	if err := guard.SetupWithManager(local); err != nil {
		return err
	}
	current := barrier(local)
	decisions := &app.Reconciler{Client: local.GetClient(), Live: local.GetAPIReader(), Reports: reports, Guard: guard, Measurements: prometheus, Clock: clock.RealClock{}}
	if err := app.Setup(local, decisions, reports.OnChange, consistency.Source[reconcile.Request](current), restore.Loaded[reconcile.Request](guard)); err != nil {
		return err
	}
	secrets, err := propagated(local)
	if err != nil {
		return err
	}
	deliveries := &delivery.Reconciler{Hub: local.GetClient(), Live: local.GetAPIReader(), Secrets: secrets, HubID: id, Reports: reports, Guard: guard}
	if err := delivery.Setup(mgr, deliveries, consistency.Source[mcreconcile.Request](current), restore.Loaded[mcreconcile.Request](guard)); err != nil {
		return err
	}
	return addChecks(local)
}

// propagated is a cache of its own for the Secrets that may be copied to members,
// content included. No other content of a Secret is in the hub's memory.
func propagated(mgr manager.Manager) (cache.Cache, error) {
	c, err := cache.New(mgr.GetConfig(), cache.Options{
		HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(),
		DefaultTransform:            cache.TransformStripManagedFields(),
		ReaderFailOnMissingInformer: true,
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Secret{}: {Label: labels.SelectorFromSet(labels.Set{v1.LabelPropagate: "true"})},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("making the cache of Secrets: %w", err)
	}
	return c, mgr.Add(c)
}

// whoAmI is the hub's own name on its API server.
func whoAmI(ctx context.Context, c client.Client) (string, error) {
	review := &authenticationv1.SelfSubjectReview{}
	if err := c.Create(ctx, review); err != nil {
		return "", fmt.Errorf("asking the API server for the hub's own name: %w", err)
	}
	return review.Status.UserInfo.Username, nil
}

// setupWebhook serves the webhook, if it is asked for, and keeps its certificate, if nobody
// else does.
func setupWebhook(mgr manager.Manager, o Options, keeper *certificate.Keeper) error {
	if keeper == nil && o.WebhookCertDir == "" {
		return nil
	}
	webhook.Register(mgr.GetWebhookServer(), health.CheckRule, mgr.GetCache())
	if err := mgr.AddReadyzCheck("webhook", mgr.GetWebhookServer().StartedChecker()); err != nil {
		return fmt.Errorf("adding the webhook's readiness check: %w", err)
	}
	if keeper == nil {
		return nil
	}
	if err := certificate.Setup(mgr, keeper); err != nil {
		return err
	}
	return mgr.AddReadyzCheck("webhook-certificate", keeper.Check)
}

func managerOptions(o Options, scheme *runtime.Scheme, webhooks ctrlwebhook.Server) manager.Options {
	return manager.Options{
		Scheme: scheme,
		Logger: o.Log,
		Cache:  cache.Options{ByObject: cacheByObject(o.Namespace), ReaderFailOnMissingInformer: true},
		Metrics: metricsserver.Options{
			BindAddress:    o.MetricsBindAddress,
			CertDir:        o.MetricsCertDir,
			SecureServing:  true,
			FilterProvider: filters.WithAuthenticationAndAuthorization,
		},
		WebhookServer:           webhooks,
		HealthProbeBindAddress:  o.HealthProbeBindAddress,
		PprofBindAddress:        o.PprofBindAddress,
		LeaderElection:          o.LeaderElection.Enabled,
		LeaderElectionID:        "myapp-hub",
		LeaderElectionNamespace: o.Namespace,
		// Releasing comes before stopping, also for a leader that has lost its
		// API server: it would go on working while it waits for an answer.
		LeaderElectionReleaseOnCancel: false,
		LeaseDuration:                 &o.LeaderElection.LeaseDuration,
		RenewDeadline:                 &o.LeaderElection.RenewDeadline,
		RetryPeriod:                   &o.LeaderElection.RetryPeriod,
		GracefulShutdownTimeout:       ptr.To(shutdownTimeout),
	}
}

// cacheByObject limits the hub's cache to what it reads.
func cacheByObject(namespace string) map[client.Object]cache.ByObject {
	byObject := members.CacheByObject(namespace)
	ours := labels.SelectorFromSet(labels.Set{v1.LabelManagedBy: v1.ManagedBy})
	light := cache.TransformStripManagedFields()
	maps.Copy(byObject, map[client.Object]cache.ByObject{
		&v1.MyApp{}:                  {Transform: slimApp},
		&v1.MemberCluster{}:          {Transform: light},
		&v1.PlacementQuota{}:         {Transform: light},
		&v1.Work{}:                   {Transform: withoutManifests},
		&appsv1.ControllerRevision{}: {Label: ours, Transform: light},
	})
	return byObject
}

// slimApp drops what the hub does not read of a MyApp, and keeps once what its rows
// have in common with those of other members and apps.
func slimApp(object any) (any, error) {
	app, ok := object.(*v1.MyApp)
	if !ok {
		return object, nil
	}
	app.ManagedFields = nil
	rows := slices.Clone(app.Status.Placements) // decoding has left room for more
	for i := range rows {
		row := &rows[i]
		for _, text := range []*string{&row.Cluster, &row.Revision, &row.AppliedHash, &row.Reason, &row.Message} {
			*text = unique.Make(*text).Value()
		}
		row.State = unique.Make(row.State).Value()
	}
	app.Status.Placements = rows
	return app, nil
}

// withoutManifests keeps of a Work what the hub reads of it: its content is known
// by its hash.
func withoutManifests(object any) (any, error) {
	if work, ok := object.(*v1.Work); ok {
		work.ManagedFields = nil
		work.Spec.Manifests = nil
	}
	return object, nil
}

func barrier(mgr manager.Manager) *consistency.Barrier {
	return &consistency.Barrier{
		Kind:   v1.GroupVersion.WithKind("MyApp"),
		New:    func() client.Object { return &v1.MyApp{} },
		Live:   mgr.GetAPIReader(),
		Cached: mgr.GetCache(),
	}
}

// addChecks makes the hub healthy while it runs, and ready once its cache has
// synced. Members have no part in it: an unreachable one must not stop the hub.
func addChecks(mgr manager.Manager) error {
	var synced atomic.Bool
	ready := func(*http.Request) error {
		if !synced.Load() {
			return errors.New("the hub's cache has not synced yet")
		}
		return nil
	}
	waitForSync := everywhere{func(ctx context.Context) error {
		synced.Store(mgr.GetCache().WaitForCacheSync(ctx))
		<-ctx.Done()
		return nil
	}}
	if err := mgr.Add(waitForSync); err != nil {
		return fmt.Errorf("adding the readiness check: %w", err)
	}
	if err := mgr.AddReadyzCheck("cache", ready); err != nil {
		return fmt.Errorf("adding the readiness check: %w", err)
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("adding the health check: %w", err)
	}
	return nil
}

// everywhere is a runnable of leaders and followers alike.
type everywhere struct {
	manager.RunnableFunc
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (everywhere) NeedLeaderElection() bool { return false }

func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("adding Kubernetes types: %w", err)
	}
	if err := v1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("adding MyApp Hub types: %w", err)
	}
	return scheme, nil
}
