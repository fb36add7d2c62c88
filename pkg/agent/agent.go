package agent

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
	"github.com/example/myapp-hub/pkg/agent/heartbeat"
	"github.com/example/myapp-hub/pkg/agent/mailbox"
	"github.com/example/myapp-hub/pkg/pprof"
)

const shutdownTimeout = 10 * time.Second

// Options are the settings of an agent.
type Options struct {
	// Member is the name of the MemberCluster on the hub. Required. Example: us-1
	Member string
	// Namespace is where all objects are if the member is a namespace of a cluster
	// that others use too, as the MemberCluster's spec.namespace says. Default: none,
	// the whole cluster. Example: team-a
	Namespace string
	// Hub reaches the hub, Local the agent's own cluster. Required.
	Hub, Local *rest.Config
	// MetricsBindAddress serves /metrics over TLS to clients that the own
	// cluster lets get the non-resource URL /metrics. "0" switches it off.
	MetricsBindAddress string
	// MetricsCertDir holds tls.crt and tls.key for /metrics; they are read again
	// when they change. Empty: a certificate that nobody has signed.
	MetricsCertDir string
	// HealthProbeBindAddress serves /healthz and /readyz. Example: :8081
	HealthProbeBindAddress string
	// HeartbeatInterval is the time between two signs of life. The hub takes the
	// member for silent after two and a half of them and 5 s. Between 1 s and 45 s.
	// Default: 30 s.
	HeartbeatInterval time.Duration
	// PprofBindAddress serves Go's profiles, which show what is in memory, without
	// asking who reads them: it has to be an address of the loopback interface.
	// Default: off. Example: 127.0.0.1:6060
	PprofBindAddress string
	// Log is the process's logger.
	Log logr.Logger
}

// Run runs the agent until ctx ends.
func Run(ctx context.Context, o Options) error {
	if o.Member == "" {
		return fmt.Errorf("the member's name is not set: use --member")
	}
	if o.HeartbeatInterval == 0 {
		o.HeartbeatInterval = v1.HeartbeatInterval
	}
	if o.HeartbeatInterval < time.Second || o.HeartbeatInterval > 45*time.Second {
		return fmt.Errorf("a sign of life every %s is too often or too seldom: set --heartbeat-interval to something between 1s and 45s", o.HeartbeatInterval)
	}
	if err := pprof.CheckAddress(o.PprofBindAddress); err != nil {
		return err
	}
	scheme, err := newScheme()
	if err != nil {
		return err
	}
	hub, local := rest.CopyConfig(o.Hub), rest.CopyConfig(o.Local)
	hub.QPS, local.QPS = -1, -1 // API priority and fairness does the rest.

	own, err := cluster.New(local, func(c *cluster.Options) {
		c.Scheme = scheme
		c.Cache = apply.CacheOptions("", o.Member, o.Namespace)
		c.MapperProvider = apply.NewMapper
	})
	if err != nil {
		return fmt.Errorf("reaching the own cluster: %w", err)
	}
	mgr, err := manager.New(hub, managerOptions(o, scheme, own))
	if err != nil {
		return fmt.Errorf("making the manager: %w", err)
	}
	if err := setup(mgr, own, o); err != nil {
		return err
	}
	o.Log.Info("Starting the agent", "member", o.Member, "namespace", o.Namespace)
	return mgr.Start(ctx)
}

// setup adds what an agent does: carry out its mailbox, and say that it lives.
func setup(mgr manager.Manager, own cluster.Cluster, o Options) error {
	if err := mgr.Add(own); err != nil {
		return fmt.Errorf("adding the own cluster: %w", err)
	}
	writer, err := metadata.NewForConfigAndClient(own.GetConfig(), own.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("making a client for the own cluster: %w", err)
	}
	whole, err := dynamic.NewForConfigAndClient(own.GetConfig(), own.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("making a dynamic client for the own cluster: %w", err)
	}
	if err := apply.RegisterMetrics(); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	works := &mailbox.Reconciler{Hub: mgr.GetClient(), Live: mgr.GetAPIReader(), Clock: clock.RealClock{}}
	err = mailbox.Setup(mgr, works, apply.Config{
		Member: o.Member, Namespace: o.Namespace, Cache: own.GetCache(), Metadata: writer, Dynamic: whole, Mapper: own.GetRESTMapper(),
		Discover: func() (meta.RESTMapper, error) { return apply.NewMapper(own.GetConfig(), own.GetHTTPClient()) },
	})
	if err != nil {
		return err
	}
	beat, err := heartbeat.New(mgr.GetClient(), o.Member, own, o.HeartbeatInterval, works.Unreported, works.WentBack, mgr.GetLogger().WithName("heartbeat"))
	if err != nil {
		return err
	}
	if err := mgr.Add(beat); err != nil {
		return fmt.Errorf("adding the heartbeat: %w", err)
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("adding the health check: %w", err)
	}
	return mgr.AddReadyzCheck("heartbeat", beat.Check)
}

func managerOptions(o Options, scheme *runtime.Scheme, own cluster.Cluster) manager.Options {
	return manager.Options{
		Scheme: scheme,
		Logger: o.Log,
		Cache: cache.Options{
			DefaultNamespaces: map[string]cache.Config{v1.MailboxNamespace(o.Member): {}},
			DefaultTransform:  cache.TransformStripManagedFields(),
			ByObject: map[client.Object]cache.ByObject{
				&corev1.Secret{}: {Label: labels.SelectorFromSet(labels.Set{v1.LabelManagedBy: v1.ManagedBy})},
			},
			ReaderFailOnMissingInformer: true,
		},
		MapperProvider: func(*rest.Config, *http.Client) (meta.RESTMapper, error) { return hubMapper(), nil },
		Metrics: metricsserver.Options{
			BindAddress:    o.MetricsBindAddress,
			CertDir:        o.MetricsCertDir,
			SecureServing:  true,
			FilterProvider: askCluster(own),
		},
		HealthProbeBindAddress:  o.HealthProbeBindAddress,
		PprofBindAddress:        o.PprofBindAddress,
		LeaderElection:          false,
		GracefulShutdownTimeout: ptr.To(shutdownTimeout),
	}
}

// hubMapper knows the kinds that an agent uses on the hub, so that it needs no
// discovery there.
func hubMapper() meta.RESTMapper {
	m := meta.NewDefaultRESTMapper(nil)
	m.Add(v1.GroupVersion.WithKind("Work"), meta.RESTScopeNamespace)
	m.Add(v1.GroupVersion.WithKind("WorkList"), meta.RESTScopeNamespace) // a cache of one namespace asks for that
	m.Add(corev1.SchemeGroupVersion.WithKind("Secret"), meta.RESTScopeNamespace)
	m.Add(coordinationv1.SchemeGroupVersion.WithKind("Lease"), meta.RESTScopeNamespace)
	return m
}

// newScheme has the types that an agent uses and no others: those of all of
// Kubernetes are in memory once already, in client-go's own scheme.
func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		v1.AddToScheme, corev1.AddToScheme, appsv1.AddToScheme, coordinationv1.AddToScheme,
		authenticationv1.AddToScheme, authorizationv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("adding types to the scheme: %w", err)
		}
	}
	return scheme, nil
}
