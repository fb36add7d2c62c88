// Command agent is the agent of a Pull member of MyApp Hub.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	_ "golang.org/x/crypto/x509roots/fallback" // an image may have no certificates of authorities
	"k8s.io/client-go/tools/clientcmd"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent"
	"github.com/example/myapp-hub/pkg/agent/identity"
	"github.com/example/myapp-hub/pkg/logging"
	"github.com/example/myapp-hub/pkg/version"
)

// garbagePercent is how much the heap may grow before garbage is collected, unless
// GOGC says otherwise. Half of Go's 100 saves 2 MiB with a hundred apps and costs up to
// a quarter more CPU while they change: half a second when all do. A limit of bytes
// would cost the more the closer the apps bring the heap to it.
const garbagePercent = 50

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var o agent.Options
	var kubeconfig, secret, logFormat string
	var verbosity int
	cmd := &cobra.Command{
		Use:           "agent",
		Short:         "Runs on its cluster what the hub has put into the cluster's mailbox",
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
			var named bool
			if o.Secret.Namespace, o.Secret.Name, named = strings.Cut(secret, "/"); !named {
				return fmt.Errorf("--secret %q is not NAMESPACE/NAME", secret)
			}
			if o.Local, err = clientcmd.BuildConfigFromFlags("", kubeconfig); err != nil {
				return fmt.Errorf("reading the own cluster's kubeconfig (--kubeconfig): %w", err)
			}
			err = agent.Run(cmd.Context(), o)
			if errors.Is(err, identity.ErrMoved) {
				log.Info("Ending, to be started again: " + err.Error())
				return nil
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&secret, "secret", "myapp-hub-system/myapp-agent", "NAMESPACE/NAME of the Secret on the own cluster that kubectl myapp join has made")
	f.DurationVar(&o.HeartbeatInterval, "heartbeat-interval", v1.HeartbeatInterval, "time between two signs of life; the hub takes the member for silent after two of them and 5 s")
	f.DurationVar(&o.FactsInterval, "facts-interval", v1.FactsInterval, "least time between two reports of what changes on the cluster: version, kinds, capacity")
	f.StringVar(&kubeconfig, "kubeconfig", "", "kubeconfig of the agent's own cluster; default: the Pod's own credential")
	f.StringVar(&o.MetricsBindAddress, "metrics-bind-address", ":8443", "address of /metrics (TLS, authenticated); 0 switches it off")
	f.StringVar(&o.MetricsCertDir, "metrics-cert-dir", "", "directory with tls.crt and tls.key for /metrics; default: a self-signed certificate")
	f.StringVar(&o.HealthProbeBindAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz")
	f.StringVar(&o.PprofBindAddress, "pprof-bind-address", "", "loopback address of Go's profiles, such as 127.0.0.1:6060; default: off")
	f.StringVar(&o.TenantServiceAccount, "tenant-service-account", "", "act, in each namespace, as the ServiceAccount of this name there; default: as itself")
	f.StringVar(&logFormat, "log-format", logging.JSON, "json or text")
	f.IntVarP(&verbosity, "v", "v", 0, "log verbosity: 1 shows every change on the cluster")
	return cmd
}
