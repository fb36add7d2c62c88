// Command hub is the hub controller of MyApp Hub.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	_ "golang.org/x/crypto/x509roots/fallback" // an image may have no certificates of authorities
	"k8s.io/client-go/tools/clientcmd"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub"
	"github.com/example/myapp-hub/pkg/logging"
	"github.com/example/myapp-hub/pkg/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	o := hub.Options{LeaderElection: hub.DefaultLeaderElection()}
	var kubeconfig, logFormat string
	var verbosity int
	cmd := &cobra.Command{
		Use:           "hub",
		Short:         "Places MyApps on member clusters and gathers their status",
		Version:       version.String(),
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := logging.Setup(os.Stderr, logFormat, verbosity)
			if err != nil {
				return err
			}
			o.Log = log
			if o.Config, err = clientcmd.BuildConfigFromFlags("", kubeconfig); err != nil {
				return fmt.Errorf("reading the hub's kubeconfig (--kubeconfig): %w", err)
			}
			return hub.Run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&kubeconfig, "kubeconfig", "", "kubeconfig of the hub's API server; default: the Pod's own credential")
	f.StringVar(&o.Namespace, "namespace", "myapp-hub-system", "namespace of the hub's Lease, identity and kubeconfig Secrets")
	f.StringVar(&o.MetricsBindAddress, "metrics-bind-address", ":8443", "address of /metrics (TLS, authenticated); 0 switches it off")
	f.StringVar(&o.MetricsCertDir, "metrics-cert-dir", "", "directory with tls.crt and tls.key for /metrics; default: a self-signed certificate")
	f.StringVar(&o.HealthProbeBindAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz")
	f.StringVar(&o.PprofBindAddress, "pprof-bind-address", "", "loopback address of Go's profiles, such as 127.0.0.1:6060; default: off")
	f.StringVar(&o.WebhookBindAddress, "webhook-bind-address", ":9443", "address of the admission webhook, if one of the next two is set")
	f.StringVar(&o.WebhookCertDir, "webhook-cert-dir", "", "directory with tls.crt and tls.key of the admission webhook")
	f.StringVar(&o.WebhookService, "webhook-service", "", "Service of the admission webhook, for which the hub then makes a certificate itself; default: no webhook")
	f.BoolVar(&o.LeaderElection.Enabled, "leader-elect", true, "let one of several hubs work; it exits when it loses")
	f.DurationVar(&o.LeaderElection.LeaseDuration, "leader-elect-lease-duration", o.LeaderElection.LeaseDuration, "how long others wait for a silent leader")
	f.DurationVar(&o.LeaderElection.RenewDeadline, "leader-elect-renew-deadline", o.LeaderElection.RenewDeadline, "how long a leader tries to renew before it gives up")
	f.DurationVar(&o.LeaderElection.RetryPeriod, "leader-elect-retry-period", o.LeaderElection.RetryPeriod, "how long to wait between tries")
	f.DurationVar(&o.FactsInterval, "facts-interval", v1.FactsInterval, "least time between two reports of what changes on a Push member: version, kinds, capacity; 0 measures nothing")
	f.StringSliceVar(&o.Prometheus, "prometheus", nil, "addresses that gates of rollouts may ask, such as http://prometheus.monitoring:9090; default: none")
	f.StringVar(&logFormat, "log-format", logging.JSON, "json or text")
	f.IntVarP(&verbosity, "v", "v", 0, "log verbosity: 1 shows every change on a member")
	return cmd
}
