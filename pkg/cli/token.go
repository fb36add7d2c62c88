package cli

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"github.com/example/myapp-hub/pkg/join"
)

// hubNamespace is the hub's own namespace, unless a flag says otherwise.
const hubNamespace = "myapp-hub-system"

// mailboxTimeout is how long the hub may take to make a mailbox.
const mailboxTimeout = 30 * time.Second

func tokenCommand(hub *hubFlags) *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Make join tokens for clusters"}
	cmd.AddCommand(tokenCreateCommand(hub))
	return cmd
}

const tokenCreateLong = `Make a join token for a cluster, and the MemberCluster that it joins as.

What is printed is the command to run on the cluster. The token in it works once:
whoever uses it first has the member. Treat it as a password until then.

The MemberCluster waits to be accepted, so that you can see who has joined before
anything is placed there: kubectl myapp accept NAME.

How clusters reach the hub is taken from the ConfigMap hub-endpoint in the hub's
namespace. If it is not there, it is made with the server and the certificate
authority of the kubeconfig in use, or with --server and --ca-file.`

const tokenCreateExample = `  # A cluster that joins as us-1
  kubectl myapp token create us-1 --labels region=us
  # One namespace of a shared cluster
  kubectl myapp token create team-a --member-namespace team-a
  # The cluster was rebuilt, or was offline for longer than its token lives
  kubectl myapp token create us-1 --replace`

func tokenCreateCommand(hub *hubFlags) *cobra.Command {
	o := join.TokenOptions{TTL: time.Hour, MailboxTimeout: mailboxTimeout}
	var caFile string
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a join token for a cluster",
		Long: tokenCreateLong, Example: tokenCreateExample, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, config, err := hub.connect()
			if err != nil {
				return err
			}
			o.Member = args[0]
			if o.Server, o.CA, err = reachedAt(config, o.Server, caFile); err != nil {
				return err
			}
			o.Reach, o.Insist = config, cmd.Flags().Changed("server")
			line, err := join.CreateToken(cmd.Context(), c, o)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "kubectl myapp join --token %s\n", line)
			note(cmd, "The token works once, within %s. Agents reach the hub at %s.", o.TTL, line.Server)
			if !o.Accepted {
				note(cmd, "When the cluster has joined: kubectl myapp accept %s", o.Member)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.DurationVar(&o.TTL, "ttl", o.TTL, "life of the token, between 10m and 24h")
	f.StringToStringVar(&o.Labels, "labels", nil, "labels of the MemberCluster, if it is made: KEY=VALUE,...")
	f.StringVar(&o.Namespace, "member-namespace", "", "the only namespace of the cluster that the member is, if the MemberCluster is made")
	f.BoolVar(&o.Accepted, "accept", false, "accept whoever joins, without a look at it")
	f.BoolVar(&o.Replace, "replace", false, "take the member away from the cluster that has it")
	f.StringVar(&o.Server, "server", "", "URL at which clusters reach the hub's API server; default: that of the kubeconfig")
	f.StringVar(&caFile, "ca-file", "", "file with the certificates of the authorities that clusters verify it with; default: those of the kubeconfig")
	f.StringVar(&o.HubNamespace, "hub-namespace", hubNamespace, "the hub's own namespace")
	return cmd
}

// reachedAt is how the cluster of a kubeconfig is reached by others, unless flags say it.
func reachedAt(config *rest.Config, server, caFile string) (string, []byte, error) {
	if server == "" {
		server = config.Host
	}
	if caFile == "" {
		caFile = config.CAFile
	}
	if caFile == "" || len(config.CAData) > 0 && caFile == config.CAFile {
		return server, config.CAData, nil
	}
	ca, err := os.ReadFile(caFile)
	if err != nil {
		return "", nil, fmt.Errorf("reading the certificates of the cluster's authorities: %w", err)
	}
	return server, ca, nil
}

// note tells a person something beside the result.
func note(cmd *cobra.Command, format string, args ...any) {
	cmd.PrintErrf(format+"\n", args...)
}
