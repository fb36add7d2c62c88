package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/join"
)

const leaveLong = `Let a cluster leave the hub: its apps leave it, its credentials end, and its mailbox and
MemberCluster are deleted. What will happen to which app is shown first.

By default apps are removed from the cluster, each as its own deletionPolicy says. With
--orphan they stay there and belong to nobody. With --force the cluster is not asked: use
it only for one that is gone for good, for whatever runs there runs on.

The command can be interrupted and run again. It leaves namespaces that the hub has made
on the cluster where they are.`

const leaveExample = `  # Look what would happen
  kubectl myapp leave eu-1 --dry-run
  # Take the apps and the agent off the cluster, whose context is eu-1
  kubectl myapp leave eu-1 --member-context eu-1
  # The cluster has burnt down
  kubectl myapp leave eu-1 --force`

type leaveFlags struct {
	join.LeaveOptions
	orphan, force, dryRun, yes bool
	member                     hubFlags
}

func leaveCommand(hub *hubFlags) *cobra.Command {
	o := leaveFlags{}
	cmd := &cobra.Command{
		Use: "leave NAME", Short: "Let a cluster leave the hub",
		Long: leaveLong, Example: leaveExample, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Member = args[0]
			return o.run(cmd, hub)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.orphan, "orphan", false, "leave the apps on the cluster, where they belong to nobody")
	f.BoolVar(&o.force, "force", false, "do not ask the cluster: it is gone for good")
	f.BoolVar(&o.dryRun, "dry-run", false, "only show what would happen")
	f.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	f.DurationVar(&o.Timeout, "timeout", 5*time.Minute, "how long to wait for the apps to leave")
	f.StringVar(&o.HubNamespace, "hub-namespace", hubNamespace, "the hub's own namespace")
	f.StringVar(&o.member.kubeconfig, "member-kubeconfig", "", "kubeconfig of the cluster, to take the agent or the hub's account off it, too")
	f.StringVar(&o.member.context, "member-context", "", "context of the cluster, likewise")
	cmd.MarkFlagsMutuallyExclusive("orphan", "force")
	return cmd
}

func (o *leaveFlags) run(cmd *cobra.Command, hub *hubFlags) error {
	c, _, _, err := hub.connect()
	if err != nil {
		return err
	}
	o.Policy = o.policy()
	apps, err := join.Departures(cmd.Context(), c, o.Member)
	if err != nil {
		return err
	}
	if err := o.preview(cmd.OutOrStdout(), apps); err != nil || o.dryRun {
		return err
	}
	if !o.yes && !confirmed(cmd, "Go on?") {
		return fmt.Errorf("nothing was changed; use --yes to go on without being asked")
	}
	o.Progress = func(format string, args ...any) { note(cmd, format, args...) }
	var cluster client.Client
	var installed join.Installation
	if o.member != (hubFlags{}) {
		// Whether it is the right cluster has to be known before anything is taken away.
		if cluster, installed, err = o.installation(cmd.Context(), c); err != nil {
			return err
		}
	}
	left := join.Leave(cmd.Context(), c, o.LeaveOptions)
	if left != nil && (cluster == nil || !errors.Is(left, join.ErrNoMember)) {
		return left // else it was interrupted after that, or the name is wrong
	}
	if cluster != nil {
		found, err := join.Uninstall(cmd.Context(), cluster, installed)
		if err == nil && !found {
			err = left
		}
		if err != nil {
			return err
		}
		note(cmd, "The account, its rights and the agent are off the cluster")
	} else if !o.force {
		note(cmd, "The agent or the hub's account is still on the cluster: run this again with --member-context, or delete it there")
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "membercluster.example.com/%s left\n", o.Member)
	return err
}

// policy is what becomes of the apps.
func (o *leaveFlags) policy() v1.LeavePolicy {
	switch {
	case o.orphan:
		return v1.LeaveOrphan
	case o.force:
		return v1.LeaveForget
	}
	return v1.LeaveRemove
}

// installation is what the member has on the cluster that a flag names.
func (o *leaveFlags) installation(ctx context.Context, hub client.Client) (client.Client, join.Installation, error) {
	i := join.Installation{Member: o.Member}
	cluster, _, _, err := o.member.connect()
	if err != nil {
		return nil, i, err
	}
	if i.Hub, err = join.HubID(ctx, hub, o.HubNamespace); err != nil {
		return nil, i, err
	}
	member := &v1.MemberCluster{}
	switch err := hub.Get(ctx, client.ObjectKey{Name: o.Member}, member); {
	case err == nil:
		i.Mode, i.Namespace = member.Spec.Mode, member.Spec.Namespace
	case client.IgnoreNotFound(err) != nil:
		return nil, i, fmt.Errorf("reading MemberCluster %s: %w", o.Member, err)
	}
	return cluster, i, i.Check(ctx, cluster)
}

// preview says what will become of each app.
func (o *leaveFlags) preview(out io.Writer, apps []join.Departure) error {
	w := tabwriter.NewWriter(out, 0, 4, 3, ' ', 0)
	if len(apps) > 0 {
		_, _ = fmt.Fprintln(w, "APP\tNOW\tON OTHERS\tWHAT HAPPENS") // Flush returns the error
	}
	for _, app := range apps {
		what := map[v1.LeavePolicy]string{
			v1.LeaveRemove: "is removed from the cluster", v1.LeaveOrphan: "stays there and belongs to nobody",
			v1.LeaveForget: "is forgotten; what is there stays there",
		}[o.Policy]
		if app.Others == 0 {
			what += "; IT IS ON NO OTHER MEMBER"
		}
		if app.Waits != "" && o.Policy != v1.LeaveForget {
			what += "; but " + app.Waits
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", app.App, app.State, app.Others, what)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "%d apps leave %s.\n", len(apps), o.Member)
	return err
}

// confirmed asks a person.
func confirmed(cmd *cobra.Command, question string) bool {
	cmd.PrintErrf("%s [y/N] ", question)
	answer, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	return err == nil && strings.EqualFold(strings.TrimSpace(answer), "y")
}
