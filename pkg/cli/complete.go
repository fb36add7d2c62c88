package cli

import (
	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
)

type completion = func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective)

// completeMembers offers the names of MemberClusters for the first argument.
func completeMembers(hub *hubFlags) completion {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		var members v1.MemberClusterList
		c, _, _, err := hub.connect()
		if err != nil || len(args) > 0 || c.List(cmd.Context(), &members) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names := make([]string, 0, len(members.Items))
		for i := range members.Items {
			names = append(names, members.Items[i].Name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeApps offers the names of MyApps in the namespace for the first argument.
func completeApps(hub *hubFlags) completion {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		var apps v1.MyAppList
		c, namespace, _, err := hub.connect()
		if err != nil || len(args) > 0 || c.List(cmd.Context(), &apps, client.InNamespace(namespace)) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names := make([]string, 0, len(apps.Items))
		for i := range apps.Items {
			names = append(names, apps.Items[i].Name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
