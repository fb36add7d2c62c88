package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/placement"
)

const statusExample = `  # How is web doing, and where?
  kubectl myapp status web -n shop
  # Go on showing it, with the objects on each member
  kubectl myapp status web -n shop --objects -w`

type statusFlags struct {
	objects, watch bool
}

func statusCommand(hub *hubFlags) *cobra.Command {
	var o statusFlags
	cmd := &cobra.Command{
		Use: "status NAME", Short: "Show how an app is doing, member by member",
		Example: statusExample, Args: cobra.ExactArgs(1), ValidArgsFunction: completeApps(hub),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, namespace, config, err := hub.connect()
			if err != nil {
				return err
			}
			key := types.NamespacedName{Namespace: namespace, Name: args[0]}
			if o.watch {
				return o.follow(cmd.Context(), cmd.OutOrStdout(), c, config, key)
			}
			app := &v1.MyApp{}
			if err := c.Get(cmd.Context(), key, app); err != nil {
				return err
			}
			return o.show(cmd.Context(), cmd.OutOrStdout(), c, app)
		},
	}
	cmd.Flags().BoolVar(&o.objects, "objects", false, "show the objects that each member is to have, too")
	cmd.Flags().BoolVarP(&o.watch, "watch", "w", false, "go on showing it when it changes")
	return cmd
}

// follow shows the app each time that it changes, until it is deleted.
func (o *statusFlags) follow(ctx context.Context, out io.Writer, c client.Client, config *rest.Config, key types.NamespacedName) error {
	w, err := client.NewWithWatch(config, client.Options{Scheme: c.Scheme()})
	if err != nil {
		return err
	}
	events, err := w.Watch(ctx, &v1.MyAppList{}, client.InNamespace(key.Namespace),
		client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector("metadata.name", key.Name)})
	if err != nil {
		return fmt.Errorf("watching %s: %w", key, err)
	}
	defer events.Stop()
	for event := range events.ResultChan() {
		app, ok := event.Object.(*v1.MyApp)
		switch {
		case event.Type == watch.Deleted:
			_, err := fmt.Fprintf(out, "%s is deleted\n", key)
			return err
		case ctx.Err() != nil:
			return nil
		case !ok:
			return fmt.Errorf("watching %s: the hub answers %v", key, event.Object)
		}
		if _, err := fmt.Fprintln(out); err != nil {
			return err
		}
		if err := o.show(ctx, out, c, app); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return nil // interrupted, as it was meant to be
	}
	return fmt.Errorf("the hub has ended the watch of %s; begin again", key)
}

// show prints a tree: the app, its conditions, its members, their objects.
func (o *statusFlags) show(ctx context.Context, out io.Writer, c client.Client, app *v1.MyApp) error {
	objects := map[string][]string{}
	if o.objects {
		state, err := stateOf(ctx, c, app)
		if err != nil {
			return err
		}
		if objects, err = state.Objects(); err != nil {
			return err
		}
	}
	paint := painter(out)
	w := newTable(out)
	summary := v1.Summary{}
	if app.Status.Summary != nil {
		summary = *app.Status.Summary
	}
	w.print("MyApp %s/%s: ready on %d of %d members, %d of %d pods ready\n", app.Namespace, app.Name,
		summary.Ready, summary.Clusters, summary.ReadyReplicas, summary.TotalReplicas)
	for _, condition := range app.Status.Conditions {
		w.print("  %s=%s: %s\n", condition.Type, condition.Status, condition.Message)
	}
	rows := app.Status.Placements
	for i := range rows {
		row, branch, stem := &rows[i], "├─", "│ "
		if i == len(rows)-1 {
			branch, stem = "└─", "  "
		}
		w.print("%s %s\t%s\t%d/%d\t%s\t%s\n", branch, row.Cluster, paint(row.State), row.ReadyReplicas, row.Replicas, row.Reason, row.Message)
		for j, object := range objects[row.Cluster] {
			leaf := "├─"
			if j == len(objects[row.Cluster])-1 {
				leaf = "└─"
			}
			w.print("%s  %s %s\n", stem, leaf, object)
		}
	}
	return w.flush()
}

// painter colours a state, on a terminal whose user has not said NO_COLOR.
func painter(out io.Writer) func(v1.PlacementState) string {
	file, ok := out.(*os.File)
	if _, plain := os.LookupEnv("NO_COLOR"); plain || !ok || !term.IsTerminal(int(file.Fd())) {
		return func(s v1.PlacementState) string { return string(s) }
	}
	return func(s v1.PlacementState) string {
		colour := "33" // yellow
		switch s {
		case v1.PlacementReady:
			colour = "32"
		case v1.PlacementFailed, v1.PlacementUnknown:
			colour = "31"
		case v1.PlacementPending, v1.PlacementProgressing, v1.PlacementLeaving, v1.PlacementRemoving, v1.PlacementStray:
		}
		return "\x1b[" + colour + "m" + string(s) + "\x1b[0m"
	}
}

const clustersLong = `Show the members: whether they answer, what is free on them, what keeps apps away, and
how many of the apps that you may read are there.`

func clustersCommand(hub *hubFlags) *cobra.Command {
	return &cobra.Command{
		Use: "clusters", Short: "Show the members and what is on them", Long: clustersLong, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, namespace, _, err := hub.connect()
			if err != nil {
				return err
			}
			members, err := membersOf(cmd.Context(), c)
			if err != nil {
				return err
			}
			apps, _, err := appsOf(cmd.Context(), c, namespace)
			if err != nil {
				note(cmd, "The apps on them are not shown: %v", err)
			}
			return printClusters(cmd.OutOrStdout(), members, apps)
		},
	}
}

func printClusters(out io.Writer, members []v1.MemberCluster, apps []v1.MyApp) error {
	on := map[string]int{}
	for i := range apps {
		for j := range apps[i].Status.Placements {
			on[apps[i].Status.Placements[j].Cluster]++
		}
	}
	w := newTable(out)
	w.print("NAME\tMODE\tREADY\tVERSION\tAPPS\tFREE CPU\tFREE MEMORY\tFREE PODS\tTAINTS\n")
	for i := range members {
		m := placement.MemberOf(&members[i])
		cpu, memory, pods := "-", "-", "-"
		if free := m.Free; free != nil {
			cpu, memory, pods = fmt.Sprintf("%g", float64(free.CPUMillis)/1000), fmt.Sprintf("%dMi", free.MemoryMiB), fmt.Sprint(free.Pods)
		}
		ready := "Unknown"
		for _, condition := range members[i].Status.Conditions {
			if condition.Type == v1.ConditionReady {
				ready = string(condition.Status)
			}
		}
		var taints []string
		for _, t := range m.Taints {
			taints = append(taints, t.Key+":"+string(t.Effect))
		}
		w.print("%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", m.Name, members[i].Spec.Mode, ready, orDash(m.KubernetesVersion), on[m.Name],
			cpu, memory, pods, orDash(strings.Join(taints, ",")))
	}
	return w.flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
