package hub

import (
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/example/myapp-hub/pkg/agent/apply"
	"github.com/example/myapp-hub/pkg/hub/certificate"
	"github.com/example/myapp-hub/pkg/hub/measure"
	"github.com/example/myapp-hub/pkg/pprof"
)

// Options are the settings of the hub.
type Options struct {
	// Config reaches the hub's API server. Required.
	Config *rest.Config
	// Namespace holds the hub's Lease, its identity and the kubeconfig Secrets.
	// Required. Example: myapp-hub-system
	Namespace string
	// MetricsBindAddress serves /metrics over TLS to clients that may get the
	// non-resource URL /metrics. "0" switches it off. Example: :8443
	MetricsBindAddress string
	// MetricsCertDir holds tls.crt and tls.key for /metrics; they are read again
	// when they change. Empty: a certificate that nobody has signed.
	MetricsCertDir string
	// WebhookBindAddress serves the admission webhook of MyApps over TLS.
	// Example: :9443
	WebhookBindAddress string
	// WebhookCertDir holds tls.crt and tls.key of the webhook; they are read again
	// when they change.
	WebhookCertDir string
	// WebhookService is the Service in Namespace by which the API server reaches the
	// webhook, if the hub is to keep the certificate by itself: see package certificate.
	// With neither this nor WebhookCertDir there is no webhook. A spec that it would refuse
	// is then admitted, and reported in the status. Example: myapp-hub-webhook
	WebhookService string
	// HealthProbeBindAddress serves /healthz and /readyz. Example: :8081
	HealthProbeBindAddress string
	// FactsInterval is the least time between two reports of what changes on a Push member:
	// version, kinds, capacity. 0: none are made. Else at least 1 s. Example: 30s
	FactsInterval time.Duration
	// Prometheus are the addresses that gates of rollouts may ask, and no others: who writes
	// a MyApp may not reach everything that the hub does. Default: none.
	// Example: [http://prometheus.monitoring:9090]
	Prometheus []string
	// PprofBindAddress serves Go's profiles, which show what is in memory, without
	// asking who reads them: it has to be an address of the loopback interface.
	// Default: off. Example: 127.0.0.1:6060
	PprofBindAddress string
	// LeaderElection lets one of several hubs work; it exits when it loses.
	LeaderElection LeaderElection
	// Log is the process's logger.
	Log logr.Logger
}

// LeaderElection are the times of the hub's Lease.
type LeaderElection struct {
	// Enabled switches it on.
	Enabled bool
	// LeaseDuration is how long others wait for a silent leader.
	LeaseDuration time.Duration
	// RenewDeadline is how long a leader tries to renew before it gives up.
	RenewDeadline time.Duration
	// RetryPeriod is how long one waits between tries.
	RetryPeriod time.Duration
}

// DefaultLeaderElection leaves more time between giving up and being replaced
// than any request of the hub may take, so that an old leader cannot write late.
func DefaultLeaderElection() LeaderElection {
	return LeaderElection{Enabled: true, LeaseDuration: 15 * time.Second, RenewDeadline: 6 * time.Second, RetryPeriod: 2 * time.Second}
}

// margin is the least time between the moment a leader stops and the moment
// another may start. A leader stops at the latest RetryPeriod and RenewDeadline
// after its last renewal.
func (l LeaderElection) margin() time.Duration {
	return l.LeaseDuration - l.RenewDeadline - l.RetryPeriod
}

// webhookServer serves the webhook; it is not started unless one is registered. A keeper
// keeps its certificate, if there is one.
func (o Options) webhookServer(keeper *certificate.Keeper) webhook.Server {
	host, port, _ := net.SplitHostPort(o.WebhookBindAddress)
	number, _ := strconv.Atoi(port)
	options := webhook.Options{Host: host, Port: number, CertDir: o.WebhookCertDir}
	if keeper != nil {
		options.TLSOpts = append(options.TLSOpts, func(c *tls.Config) { c.GetCertificate = keeper.GetCertificate })
	}
	return webhook.NewServer(options)
}

// keeper keeps the webhook's certificate, nil if somebody else does.
func (o Options) keeper() *certificate.Keeper {
	if o.WebhookService == "" {
		return nil
	}
	return &certificate.Keeper{Namespace: o.Namespace, Service: o.WebhookService, Clock: clock.RealClock{}}
}

// Validate refuses options the hub cannot run with, saying what to do.
func (o Options) Validate() error {
	if o.Namespace == "" {
		return fmt.Errorf("the hub's namespace is not set: use --namespace")
	}
	if err := pprof.CheckAddress(o.PprofBindAddress); err != nil {
		return err
	}
	if o.FactsInterval != 0 && o.FactsInterval < time.Second {
		return fmt.Errorf("a report of each member every %s is too often: set --facts-interval to 1s or more, or to 0 for none", o.FactsInterval)
	}
	if _, err := measure.New(o.Prometheus); err != nil {
		return err
	}
	if o.WebhookCertDir != "" && o.WebhookService != "" {
		return fmt.Errorf("the webhook's certificate is either in files or kept by the hub: give --webhook-cert-dir or --webhook-service, not both")
	}
	if o.WebhookCertDir != "" || o.WebhookService != "" {
		_, port, err := net.SplitHostPort(o.WebhookBindAddress)
		if number, numberErr := strconv.Atoi(port); err != nil || numberErr != nil || number < 1 || number > 65535 {
			return fmt.Errorf("the webhook's address %q is not HOST:PORT with a number: set --webhook-bind-address, for example to :9443", o.WebhookBindAddress)
		}
	}
	if le := o.LeaderElection; le.Enabled && le.margin() <= apply.RequestTimeout {
		return fmt.Errorf("lease duration %s minus renew deadline %s minus retry period %s must be more than the %s a request may take, or an old leader could write late: raise --leader-elect-lease-duration",
			le.LeaseDuration, le.RenewDeadline, le.RetryPeriod, apply.RequestTimeout)
	}
	return nil
}
