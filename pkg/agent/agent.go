package agent

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
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
	"github.com/example/myapp-hub/pkg/agent/census"
	"github.com/example/myapp-hub/pkg/agent/heartbeat"
	"github.com/example/myapp-hub/pkg/agent/identity"
	"github.com/example/myapp-hub/pkg/agent/mailbox"
	"github.com/example/myapp-hub/pkg/impersonate"
	"github.com/example/myapp-hub/pkg/pprof"
	"github.com/example/myapp-hub/pkg/version"
)

const (
	shutdownTimeout = 10 * time.Second
	// acceptancePoll is how often an agent asks whether it is accepted.
	acceptancePoll = 5 * time.Second
)

// Options are the settings of an agent.
type Options struct {
	// Local reaches the agent's own cluster. Required.
	Local *rest.Config
	// Secret is where the agent keeps what it knows of its hub on its own cluster, as
	// kubectl myapp join has written it. Required. Example: myapp-hub-system/myapp-agent
	Secret types.NamespacedName
	// MetricsBindAddress serves /metrics over TLS to clients that the own
	// cluster lets get the non-resource URL /metrics. "0" switches it off.
	MetricsBindAddress string
	// MetricsCertDir holds tls.crt and tls.key for /metrics; they are read again
	// when they change. Empty: a certificate that nobody has signed.
	MetricsCertDir string
	// HealthProbeBindAddress serves /healthz and /readyz. Example: :8081
	HealthProbeBindAddress string
	// TenantServiceAccount makes the agent act on its cluster, in each namespace, as the
	// ServiceAccount of this name there. Not for a member that is one namespace.
	// Default: none, the agent acts as itself. Example: myapp-tenant
	TenantServiceAccount string
	// HeartbeatInterval is the time between two signs of life. The hub takes the
	// member for silent after two and a half of them and 5 s. Between 1 s and 45 s.
	// Default: 30 s.
	HeartbeatInterval time.Duration
	// FactsInterval is the least time between two reports of what changes on the cluster:
	// version, kinds, capacity. At least 1 s. Default: 30 s.
	FactsInterval time.Duration
	// PprofBindAddress serves Go's profiles, which show what is in memory, without
	// asking who reads them: it has to be an address of the loopback interface.
	// Default: off. Example: 127.0.0.1:6060
	PprofBindAddress string
	// Log is the process's logger.
	Log logr.Logger
}

// Run runs the agent until ctx ends. It ends with identity.ErrMoved when it has to be
// started again, because its hub is reached in another way from now on.
func Run(ctx context.Context, o Options) error {
	if o.HeartbeatInterval == 0 {
		o.HeartbeatInterval = v1.HeartbeatInterval
	}
	if o.HeartbeatInterval < time.Second || o.HeartbeatInterval > 45*time.Second {
		return fmt.Errorf("a sign of life every %s is too often or too seldom: set --heartbeat-interval to something between 1s and 45s", o.HeartbeatInterval)
	}
	if o.FactsInterval == 0 {
		o.FactsInterval = v1.FactsInterval
	}
	if o.FactsInterval < time.Second {
		return fmt.Errorf("a report every %s is too often: set --facts-interval to 1s or more", o.FactsInterval)
	}
	if err := pprof.CheckAddress(o.PprofBindAddress); err != nil {
		return err
	}
	scheme, err := newScheme()
	if err != nil {
		return err
	}
	local := rest.CopyConfig(o.Local)
	local.QPS = -1 // API priority and fairness does the rest.
	if o.TenantServiceAccount != "" {
		as, err := impersonate.ServiceAccounts(o.TenantServiceAccount, impersonate.OwnNamespace, o.Secret.Namespace)
		if err != nil {
			return fmt.Errorf("--tenant-service-account: %w", err)
		}
		local.Wrap(as)
	}
	who, err := identify(ctx, o, local, scheme)
	if err != nil {
		return err
	}
	if o.TenantServiceAccount != "" && who.Namespace != "" {
		return fmt.Errorf("--tenant-service-account is for whole clusters, and member %s is namespace %s of its cluster", who.Member, who.Namespace)
	}
	own, err := cluster.New(local, func(c *cluster.Options) {
		c.Scheme = scheme
		c.Cache = apply.CacheOptions("", who.Member, who.Namespace)
		c.MapperProvider = apply.NewMapper
	})
	if err != nil {
		return fmt.Errorf("reaching the own cluster: %w", err)
	}
	// Renewed whatever else happens: an agent that waits has to stay known, too.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go who.tokens.Start(ctx)
	if err := awaitAcceptance(ctx, o, who, own, scheme); err != nil {
		return err
	}
	mgr, err := manager.New(who.tokens.Config(), managerOptions(o, who.Member, scheme, own))
	if err != nil {
		return fmt.Errorf("making the manager: %w", err)
	}
	if err := setup(mgr, own, o, who); err != nil {
		return err
	}
	o.Log.Info("Starting the agent", "version", version.String(), "member", who.Member, "namespace", who.Namespace, "hub", who.Server)
	return mgr.Start(ctx)
}

// self is who the agent is to the hub.
type self struct {
	identity.Credential
	tokens *identity.Tokens
	store  identity.Store
}

// identify finds out who the agent is, and joins the hub if that is to be done.
func identify(ctx context.Context, o Options, local *rest.Config, scheme *runtime.Scheme) (self, error) {
	direct, err := client.New(local, client.Options{Scheme: scheme, Mapper: hubMapper()})
	if err != nil {
		return self{}, fmt.Errorf("making a client for the own cluster: %w", err)
	}
	store := identity.Store{Client: direct, Key: o.Secret}
	credential, tokens, err := identity.Begin(ctx, store, o.Log.WithName("identity"))
	return self{Credential: credential, tokens: tokens, store: store}, err
}

// awaitAcceptance returns when the agent may read its mailbox, which it may not before
// its member is accepted. Meanwhile it says that it lives, so that whoever accepts can
// see it.
func awaitAcceptance(ctx context.Context, o Options, who self, own cluster.Cluster, scheme *runtime.Scheme) error {
	hub, err := client.New(who.tokens.Config(), client.Options{Scheme: scheme, Mapper: hubMapper()})
	if err != nil {
		return fmt.Errorf("making a client for the hub: %w", err)
	}
	beat, err := heartbeat.New(heartbeat.Options{
		Hub: hub, Member: who.Member, Holder: string(who.tokens.Credential()), Local: own, Interval: o.HeartbeatInterval,
		Unreported: func() bool { return false }, WentBack: func(context.Context, string) (bool, error) { return false, nil },
	})
	if err != nil {
		return err
	}
	stop, err := serveHealth(ctx, o.HealthProbeBindAddress, beat)
	if err != nil {
		return err
	}
	defer stop()
	for said := false; ; said = true {
		err := hub.List(ctx, &v1.WorkList{}, client.InNamespace(v1.MailboxNamespace(who.Member)), client.Limit(1))
		if !apierrors.IsForbidden(err) {
			return nil // other errors are for those who work with the mailbox
		}
		if !said {
			o.Log.Info("The hub has not accepted this member yet; waiting", "member", who.Member, "accept", "kubectl myapp accept "+who.Member)
		}
		if err := beat.Beat(ctx); err != nil {
			o.Log.Error(err, "Heartbeat failed")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(acceptancePoll):
		}
	}
}

// serveHealth answers probes while there is no manager that does.
func serveHealth(ctx context.Context, address string, beat *heartbeat.Heartbeat) (stop func(), err error) {
	if address == "" || address == "0" {
		return func() {}, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening for health probes on %s: %w", address, err)
	}
	mux := http.NewServeMux()
	mux.Handle("/healthz", http.StripPrefix("/healthz", &healthz.Handler{}))
	mux.Handle("/readyz", http.StripPrefix("/readyz", &healthz.Handler{Checks: map[string]healthz.Checker{"heartbeat": beat.Check}}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends with Close
	return func() { _ = server.Close() }, nil
}

// setup adds what an agent does: carry out its mailbox, say that it lives, and follow
// its hub.
func setup(mgr manager.Manager, own cluster.Cluster, o Options, who self) error {
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
	report := mailbox.NewMemberReport(mgr.GetAPIReader(), mgr.GetClient(), who.Member, mgr.GetLogger().WithName("report"))
	counting, err := census.New(census.Options{
		Config: own.GetConfig(), HTTP: own.GetHTTPClient(), Namespaced: who.Namespace != "", Interval: o.FactsInterval,
		Report: report.Report, Log: mgr.GetLogger().WithName("census"),
	})
	if err != nil {
		return fmt.Errorf("making the census of the own cluster: %w", err)
	}
	works := &mailbox.Reconciler{Hub: mgr.GetClient(), Live: mgr.GetAPIReader(), Clock: clock.RealClock{}}
	err = mailbox.Setup(mgr, works, apply.Config{
		Member: who.Member, Namespace: who.Namespace, Tenants: o.TenantServiceAccount != "", Cache: own.GetCache(), Metadata: writer, Dynamic: whole, Mapper: own.GetRESTMapper(),
		Discover: func() (meta.RESTMapper, error) {
			counting.Look()
			return apply.NewMapper(own.GetConfig(), own.GetHTTPClient())
		},
	})
	if err != nil {
		return err
	}
	beat, err := heartbeat.New(heartbeat.Options{
		Hub: mgr.GetClient(), Member: who.Member, Holder: string(who.tokens.Credential()), Local: own, Interval: o.HeartbeatInterval,
		Unreported: works.Unreported, WentBack: works.WentBack, Log: mgr.GetLogger().WithName("heartbeat"),
	})
	if err != nil {
		return err
	}
	endpoint := &identity.Endpoint{
		Credential: who.Credential, Store: who.store, Tokens: who.tokens, Cache: mgr.GetCache(), Log: mgr.GetLogger().WithName("identity"),
	}
	count := manager.RunnableFunc(func(ctx context.Context) error {
		counting.Run(ctx)
		return nil
	})
	for what, runnable := range map[string]manager.Runnable{"heartbeat": beat, "hub's address": endpoint, "census": count, "member's report": report} {
		if err := mgr.Add(runnable); err != nil {
			return fmt.Errorf("adding the %s: %w", what, err)
		}
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("adding the health check: %w", err)
	}
	return mgr.AddReadyzCheck("heartbeat", beat.Check)
}

func managerOptions(o Options, member string, scheme *runtime.Scheme, own cluster.Cluster) manager.Options {
	return manager.Options{
		Scheme: scheme,
		Logger: o.Log,
		Cache: cache.Options{
			DefaultNamespaces: map[string]cache.Config{v1.MailboxNamespace(member): {}},
			DefaultTransform:  cache.TransformStripManagedFields(),
			ByObject: map[client.Object]cache.ByObject{
				&corev1.Secret{}:    {Label: labels.SelectorFromSet(labels.Set{v1.LabelManagedBy: v1.ManagedBy})},
				&corev1.ConfigMap{}: {Field: fields.OneTermEqualSelector("metadata.name", v1.HubConfigMap)},
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

// hubMapper knows the kinds that an agent uses on the hub, and the one of its own
// Secret, so that it needs no discovery for them.
func hubMapper() meta.RESTMapper {
	m := meta.NewDefaultRESTMapper(nil)
	m.Add(v1.GroupVersion.WithKind("Work"), meta.RESTScopeNamespace)
	m.Add(v1.GroupVersion.WithKind("WorkList"), meta.RESTScopeNamespace) // a cache of one namespace asks for that
	m.Add(v1.GroupVersion.WithKind("MemberReport"), meta.RESTScopeNamespace)
	m.Add(corev1.SchemeGroupVersion.WithKind("Secret"), meta.RESTScopeNamespace)
	m.Add(corev1.SchemeGroupVersion.WithKind("ConfigMap"), meta.RESTScopeNamespace)
	m.Add(corev1.SchemeGroupVersion.WithKind("ConfigMapList"), meta.RESTScopeNamespace)
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
