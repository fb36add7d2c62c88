package cli

import (
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/version"
)

// Command is the plugin with its subcommands.
func Command() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "kubectl-myapp",
		Short:         "See, explain and plan MyApps on a hub, and care for its members",
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl myapp"},
		Version:       version.String(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	hub := hubFlags{all: genericclioptions.NewConfigFlags(true)}
	// These are the names of other things here: a member, and a token to join with.
	hub.all.ClusterName, hub.all.BearerToken = nil, nil
	hub.all.AddFlags(cmd.PersistentFlags())
	cmd.AddCommand(
		renderCommand(&hub), tokenCommand(&hub), joinCommand(&hub), acceptCommand(&hub), revokeCommand(&hub),
		leaveCommand(&hub), rightsCommand(&hub),
		statusCommand(&hub), rolloutCommand(&hub), explainCommand(&hub), planCommand(&hub), ackCommand(&hub),
		clustersCommand(&hub), drainCommand(&hub), cordonCommand(&hub), uncordonCommand(&hub),
	)
	return cmd
}

// hubFlags say which cluster and namespace is meant: by all of kubectl's flags, or by two of
// them under other names.
type hubFlags struct {
	all                 *genericclioptions.ConfigFlags
	kubeconfig, context string
}

func (h *hubFlags) loader() clientcmd.ClientConfig {
	if h.all != nil {
		return h.all.ToRawKubeConfigLoader()
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = h.kubeconfig
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: h.context})
}

// connect gives a client, the namespace, and what the client was made of.
func (h *hubFlags) connect() (client.Client, string, *rest.Config, error) {
	loader := h.loader()
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
