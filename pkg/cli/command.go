package cli

import (
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
)

// Command is the plugin with its subcommands.
func Command() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "kubectl-myapp",
		Short:         "See, explain and plan MyApps on a hub, and care for its members",
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl myapp"},
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	var hub hubFlags
	f := cmd.PersistentFlags()
	f.StringVar(&hub.kubeconfig, "kubeconfig", "", "kubeconfig of the hub, or for join of the cluster that joins; default: as kubectl")
	f.StringVar(&hub.context, "context", "", "context of the kubeconfig; default: the current one")
	f.StringVarP(&hub.namespace, "namespace", "n", "", "namespace of the MyApp; default: that of the context")
	cmd.AddCommand(
		renderCommand(&hub), tokenCommand(&hub), joinCommand(&hub), acceptCommand(&hub), revokeCommand(&hub),
		leaveCommand(&hub), rightsCommand(&hub),
		statusCommand(&hub), explainCommand(&hub), planCommand(&hub), ackCommand(&hub),
		clustersCommand(&hub), drainCommand(&hub), cordonCommand(&hub), uncordonCommand(&hub),
	)
	return cmd
}

// hubFlags say which hub and namespace is meant, as kubectl's flags do.
type hubFlags struct {
	kubeconfig, context, namespace string
}

// connect gives a client, the namespace, and what the client was made of.
func (h *hubFlags) connect() (client.Client, string, *rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = h.kubeconfig
	overrides := &clientcmd.ConfigOverrides{CurrentContext: h.context}
	overrides.Context.Namespace = h.namespace
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides)
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, "", nil, fmt.Errorf("reading the hub's kubeconfig: %w", err)
	}
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, "", nil, fmt.Errorf("reading the namespace: %w", err)
	}
	config.QPS, config.Burst = 50, 300 // as kubectl
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, "", nil, err
	}
	if err := v1.AddToScheme(scheme); err != nil {
		return nil, "", nil, err
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	return c, namespace, config, err
}
