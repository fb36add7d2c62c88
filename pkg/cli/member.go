package cli

import (
	"fmt"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/join"
)

func acceptCommand(hub *hubFlags) *cobra.Command {
	return &cobra.Command{
		Use: "accept NAME", Short: "Let apps be placed on a cluster that has joined",
		Long: `Let apps be placed on a cluster that has joined: spec.accepted of its MemberCluster
becomes true. That takes the verb accept on memberclusters.

Look first who has joined: kubectl describe mc NAME.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, _, err := hub.connect()
			if err != nil {
				return err
			}
			member := &v1.MemberCluster{}
			if err := c.Get(cmd.Context(), client.ObjectKey{Name: args[0]}, member); err != nil {
				return err
			}
			if member.IsAccepted() {
				note(cmd, "membercluster.example.com/%s was accepted before", member.Name)
				return nil
			}
			if err := join.SetAccepted(cmd.Context(), c, member.Name, true); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "membercluster.example.com/%s accepted\n", member.Name)
			return err
		},
	}
}

func revokeCommand(hub *hubFlags) *cobra.Command {
	return &cobra.Command{
		Use: "revoke NAME", Short: "Take the hub away from the agent of a cluster",
		Long: `Take the hub away from the agent of a cluster: its tokens, and a join token that was
not used yet, end within some ten seconds, and the hub writes nothing to it any more.
What runs on the cluster runs on. Let the cluster join again with kubectl myapp token
create NAME, and accept it again.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, _, err := hub.connect()
			if err != nil {
				return err
			}
			// A misspelt name must not look like success.
			member := &v1.MemberCluster{}
			err = c.Get(cmd.Context(), client.ObjectKey{Name: args[0]}, member)
			if apierrors.IsNotFound(err) {
				note(cmd, "There is no MemberCluster %s; revoking what its mailbox has.", args[0])
			} else if err != nil {
				return err
			}
			if err := join.Revoke(cmd.Context(), c, args[0]); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "membercluster.example.com/%s revoked\n", args[0])
			return err
		},
	}
}
