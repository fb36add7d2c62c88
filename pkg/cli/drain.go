package cli

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
)

const drainLong = `Have apps leave a cluster, and let none come to it, by a taint on its MemberCluster.

Apps that tolerate the taint ` + v1.TaintDrain + ` stay. Each app leaves as its
spec.failover says: when those that take over are ready, on no more of its members at
one time than its budget allows. kubectl myapp plan shows before what would happen.

The command waits until the apps that you may read have left, and can be interrupted.`

const drainExample = `  # Take the apps off eu-1 for maintenance
  kubectl myapp drain eu-1
  # and let them come again
  kubectl myapp uncordon eu-1`

func drainCommand(hub *hubFlags) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "drain MEMBER", Short: "Have apps leave a cluster, gently",
		Long: drainLong, Example: drainExample, Args: cobra.ExactArgs(1), ValidArgsFunction: completeMembers(hub),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, namespace, _, err := hub.connect()
			if err != nil {
				return err
			}
			if _, everywhere, err := appsOf(cmd.Context(), c, namespace); err != nil {
				return err
			} else if !everywhere {
				note(cmd, "You may not list the MyApps of all namespaces; only those of %s are waited for.", namespace)
			}
			if err := setTaints(cmd.Context(), c, args[0], v1.TaintNoSchedule, v1.TaintNoExecute); err != nil {
				return err
			}
			note(cmd, "membercluster.example.com/%s is drained", args[0])
			if timeout == 0 {
				return nil
			}
			return awaitDrained(cmd, c, args[0], namespace, timeout)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 10*time.Minute, "how long to wait for the apps to leave; 0 to wait not at all")
	return cmd
}

func cordonCommand(hub *hubFlags) *cobra.Command {
	return &cobra.Command{
		Use: "cordon MEMBER", Short: "Let no further apps come to a cluster",
		Args: cobra.ExactArgs(1), ValidArgsFunction: completeMembers(hub),
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeTaints(cmd, hub, args[0], "cordoned", v1.TaintNoSchedule)
		},
	}
}

func uncordonCommand(hub *hubFlags) *cobra.Command {
	return &cobra.Command{
		Use: "uncordon MEMBER", Short: "Let apps come to a cluster again",
		Long: "Take the taint off that drain and cordon set. Who has left comes back if the placement says so.",
		Args: cobra.ExactArgs(1), ValidArgsFunction: completeMembers(hub),
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeTaints(cmd, hub, args[0], "uncordoned")
		},
	}
}

func changeTaints(cmd *cobra.Command, hub *hubFlags, member, done string, effects ...v1.TaintEffect) error {
	c, _, _, err := hub.connect()
	if err != nil {
		return err
	}
	if err := setTaints(cmd.Context(), c, member, effects...); err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "membercluster.example.com/%s %s\n", member, done)
	return err
}

// setTaints makes the effects of the taint that drain sets those that are given.
func setTaints(ctx context.Context, c client.Client, name string, effects ...v1.TaintEffect) error {
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		member := &v1.MemberCluster{}
		if err := c.Get(ctx, client.ObjectKey{Name: name}, member); err != nil {
			return err
		}
		base := member.DeepCopy()
		member.Spec.Taints = slices.DeleteFunc(member.Spec.Taints, func(t v1.Taint) bool {
			return t.Key == v1.TaintDrain && !slices.Contains(effects, t.Effect)
		})
		for _, effect := range effects {
			has := func(t v1.Taint) bool { return t.Key == v1.TaintDrain && t.Effect == effect }
			if !slices.ContainsFunc(member.Spec.Taints, has) {
				member.Spec.Taints = append(member.Spec.Taints, v1.Taint{Key: v1.TaintDrain, Effect: effect})
			}
		}
		return c.Patch(ctx, member, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{}))
	})
}

// awaitDrained waits until no app is on the member that does not tolerate the taint.
func awaitDrained(cmd *cobra.Command, c client.Client, member, namespace string, timeout time.Duration) error {
	var left []string
	err := wait.PollUntilContextTimeout(cmd.Context(), time.Second, timeout, true, func(ctx context.Context) (bool, error) {
		apps, _, err := appsOf(ctx, c, namespace)
		if err != nil {
			return false, err
		}
		var now []string
		for i := range apps {
			if app := &apps[i]; isOn(app, member) && !toleratesDrain(app) {
				now = append(now, app.Namespace+"/"+app.Name)
			}
		}
		for _, name := range left {
			if !slices.Contains(now, name) {
				note(cmd, "%s has left", name)
			}
		}
		left = now
		return len(left) == 0, nil
	})
	if err != nil && len(left) > 0 {
		return fmt.Errorf("%s have not left %s: see kubectl myapp explain NAME --cluster %s: %w", firstOf(left), member, member, err)
	}
	if err == nil {
		note(cmd, "no app is on %s that does not tolerate %s", member, v1.TaintDrain)
	}
	return err
}

func isOn(app *v1.MyApp, member string) bool {
	return slices.ContainsFunc(app.Status.Placements, func(r v1.PlacementRow) bool {
		return r.Cluster == member && r.State != v1.PlacementStray
	})
}

func toleratesDrain(app *v1.MyApp) bool {
	return app.Spec.Placement != nil && slices.ContainsFunc(app.Spec.Placement.Tolerations, func(t v1.Toleration) bool {
		return (t.Key == "" || t.Key == v1.TaintDrain) && (t.Effect == "" || t.Effect == v1.TaintNoExecute) &&
			(t.Operator == v1.TolerationExists || t.Value == "") && t.TolerationSeconds == nil
	})
}

const ackLong = `Acknowledge what the hub has stopped at: its condition Held says what would happen, and
names the plan. An acknowledgement is for that plan alone: another edit, or other
members, make another one.`

func ackCommand(hub *hubFlags) *cobra.Command {
	var hash string
	cmd := &cobra.Command{
		Use: "ack NAME --plan HASH", Short: "Let the hub go on with what it has stopped at",
		Long: ackLong, Example: "  kubectl myapp ack web -n shop --plan 0a1b2c3d4e5f", Args: cobra.ExactArgs(1),
		ValidArgsFunction: completeApps(hub),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, namespace, _, err := hub.connect()
			if err != nil {
				return err
			}
			if err := acknowledge(cmd.Context(), c, client.ObjectKey{Namespace: namespace, Name: args[0]}, hash); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "myapp.example.com/%s plan %s acknowledged\n", args[0], hash)
			return err
		},
	}
	cmd.Flags().StringVar(&hash, "plan", "", "the plan that the condition Held of the MyApp names")
	if err := cmd.MarkFlagRequired("plan"); err != nil {
		panic(err) // there is no such flag
	}
	return cmd
}

// planInMessage finds the plan that a condition names.
var planInMessage = regexp.MustCompile(`--plan ([0-9a-f]+)`)

// acknowledge writes the acknowledgement of a plan that the app asks for.
func acknowledge(ctx context.Context, c client.Client, key client.ObjectKey, hash string) error {
	app := &v1.MyApp{}
	if err := c.Get(ctx, key, app); err != nil {
		return err
	}
	asked := ""
	for _, condition := range app.Status.Conditions {
		if condition.Type == v1.ConditionHeld && condition.Status == "True" {
			asked = condition.Message
		}
	}
	switch {
	case asked == "":
		return fmt.Errorf("%s asks for nothing: its condition Held is not True", key)
	case !slices.Contains(planInMessage.FindStringSubmatch(asked), hash):
		return fmt.Errorf("%s does not ask for plan %s, but: %s", key, hash, asked)
	}
	base := app.DeepCopy()
	if app.Annotations == nil {
		app.Annotations = map[string]string{}
	}
	app.Annotations[v1.AnnotationAcknowledgedPlan] = hash
	return c.Patch(ctx, app, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{}))
}
