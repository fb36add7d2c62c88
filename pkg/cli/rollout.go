package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/rollout"
)

func rolloutCommand(hub *hubFlags) *cobra.Command {
	cmd := &cobra.Command{Use: "rollout", Short: "Watch, approve, stop and undo how a new revision reaches the members"}
	cmd.AddCommand(
		rolloutStatusCommand(hub), historyCommand(hub), diffCommand(hub), undoCommand(hub),
		editCommand(hub, "pause", "Stop changing anything on any member", "paused", func(app *v1.MyApp) error {
			app.Spec.Paused = true
			return nil
		}),
		editCommand(hub, "resume", "Go on after a pause, or after a failure that is accepted", "resumed", resume),
		editCommand(hub, "approve", "Approve the step that waits for it", "approved", approve),
		promoteCommand(hub),
		editCommand(hub, "restart", "Start all pods anew, as a new revision", "restarted", restart),
	)
	return cmd
}

// editCommand changes an app.
func editCommand(hub *hubFlags, verb, short, done string, edit func(*v1.MyApp) error) *cobra.Command {
	return &cobra.Command{
		Use: verb + " NAME", Short: short, Args: cobra.ExactArgs(1), ValidArgsFunction: completeApps(hub),
		RunE: func(cmd *cobra.Command, args []string) error { return change(cmd, hub, args[0], done, edit) },
	}
}

func change(cmd *cobra.Command, hub *hubFlags, name, done string, edit func(*v1.MyApp) error) error {
	c, namespace, _, err := hub.connect()
	if err != nil {
		return err
	}
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		app := &v1.MyApp{}
		if err := c.Get(cmd.Context(), client.ObjectKey{Namespace: namespace, Name: name}, app); err != nil {
			return err
		}
		base := app.DeepCopy()
		if err := edit(app); err != nil {
			return err
		}
		return c.Patch(cmd.Context(), app, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{}))
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "myapp.example.com/%s %s\n", name, done)
	return err
}

func resume(app *v1.MyApp) error {
	r := app.Status.Rollout
	stopped := r != nil && r.Phase == v1.RolloutPaused && r.Asks != ""
	if !app.Spec.Paused && !stopped {
		return fmt.Errorf("nothing has stopped %s: there is nothing to resume", app.Name)
	}
	app.Spec.Paused = false
	if stopped {
		answer(app, r.Asks)
	}
	return nil
}

func approve(app *v1.MyApp) error {
	if r := app.Status.Rollout; r != nil && r.Phase == v1.RolloutProgressing && r.Asks != "" {
		answer(app, r.Asks)
		return nil
	}
	return fmt.Errorf("no step of %s waits for an approval now", app.Name)
}

func promoteCommand(hub *hubFlags) *cobra.Command {
	full := false
	cmd := &cobra.Command{
		Use: "promote NAME", Short: "Skip the soak, the gates and the approval of the current step",
		Long: "Skip what the current step waits for. Its members must be ready all the same, and budgets and windows hold.",
		Args: cobra.ExactArgs(1), ValidArgsFunction: completeApps(hub),
		RunE: func(cmd *cobra.Command, args []string) error {
			return change(cmd, hub, args[0], "promoted", func(app *v1.MyApp) error {
				r := app.Status.Rollout
				switch {
				case r == nil || r.CurrentStep == nil || r.Phase != v1.RolloutProgressing:
					return fmt.Errorf("no step of %s is being taken now: there is nothing to promote", app.Name)
				case full:
					answer(app, rollout.PromoteAll(r))
				default:
					answer(app, rollout.AnswerPromote+r.CurrentStep.Hash)
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&full, "full", false, "skip those of all steps")
	return cmd
}

// answer adds an answer to those that were given. Older ones are about what is over; the
// last few are kept.
func answer(app *v1.MyApp, is string) {
	const kept = 20
	given := strings.FieldsFunc(app.Annotations[v1.AnnotationRolloutAnswers], func(r rune) bool { return r == ',' })
	if !slices.Contains(given, is) {
		given = append(given, is)
	}
	if app.Annotations == nil {
		app.Annotations = map[string]string{}
	}
	app.Annotations[v1.AnnotationRolloutAnswers] = strings.Join(given[max(0, len(given)-kept):], ",")
}

// restart marks the pods with the time, as kubectl does.
func restart(app *v1.MyApp) error {
	template := map[string]any{}
	if raw := app.Spec.PodTemplate; raw != nil && len(raw.Raw) > 0 {
		if err := json.Unmarshal(raw.Raw, &template); err != nil {
			return fmt.Errorf("spec.podTemplate of %s: %w", app.Name, err)
		}
	}
	at := template
	for _, field := range []string{"metadata", "annotations"} {
		next, ok := at[field].(map[string]any)
		if !ok {
			next = map[string]any{}
			at[field] = next
		}
		at = next
	}
	at["kubectl.kubernetes.io/restartedAt"] = time.Now().UTC().Format(time.RFC3339)
	raw, err := json.Marshal(template)
	if err != nil {
		return err
	}
	app.Spec.PodTemplate = &runtime.RawExtension{Raw: raw}
	return nil
}

const rolloutStatusLong = `Show how far the current revision is, and wait until it is everywhere.

The exit code is 0 once it is, and 1 if the rollout has failed, or has not come to an end
in time. A rollout that waits for a person is waited for, too.`

func rolloutStatusCommand(hub *hubFlags) *cobra.Command {
	var (
		follow  bool
		timeout time.Duration
	)
	cmd := &cobra.Command{
		Use: "status NAME", Short: "Show how far the current revision is", Long: rolloutStatusLong,
		Args: cobra.ExactArgs(1), ValidArgsFunction: completeApps(hub),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, namespace, config, err := hub.connect()
			if err != nil {
				return err
			}
			key := client.ObjectKey{Namespace: namespace, Name: args[0]}
			app := &v1.MyApp{}
			if err := c.Get(cmd.Context(), key, app); err != nil {
				return err
			}
			if says, done, failed := progressOf(app); done || !follow {
				if _, err := fmt.Fprintln(cmd.OutOrStdout(), says); err != nil {
					return err
				}
				return failed
			}
			w, err := client.NewWithWatch(config, client.Options{Scheme: c.Scheme()})
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, timeout)
				defer cancel()
			}
			return followRollout(ctx, cmd, w, key)
		},
	}
	cmd.Flags().BoolVarP(&follow, "watch", "w", true, "wait until the rollout has come to an end")
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "how long to wait; 0 for as long as it takes")
	return cmd
}

// followRollout prints how far the rollout is each time that this changes. API servers end
// watches after a while; it goes on with another one then.
func followRollout(ctx context.Context, cmd *cobra.Command, w client.WithWatch, key client.ObjectKey) error {
	last := ""
	for {
		app := &v1.MyApp{}
		if err := w.Get(ctx, key, app); err != nil {
			return ended(ctx, key, last, err)
		}
		if done, err := showProgress(cmd, app, &last); done {
			return err
		}
		events, err := w.Watch(ctx, &v1.MyAppList{}, client.InNamespace(key.Namespace), &client.ListOptions{
			FieldSelector: fields.OneTermEqualSelector("metadata.name", key.Name), Raw: &metav1.ListOptions{ResourceVersion: app.ResourceVersion},
		})
		if err != nil {
			return ended(ctx, key, last, err)
		}
		done, err := followWatch(cmd, events, key, &last)
		events.Stop()
		if done || ctx.Err() != nil {
			return ended(ctx, key, last, err)
		}
	}
}

// followWatch prints what one watch tells; done is false once it has ended and there is more
// to come.
func followWatch(cmd *cobra.Command, events watch.Interface, key client.ObjectKey, last *string) (done bool, err error) {
	for event := range events.ResultChan() {
		app, ok := event.Object.(*v1.MyApp)
		switch {
		case event.Type == watch.Deleted:
			return true, fmt.Errorf("%s is deleted", key)
		case !ok:
			return false, nil // as when the version is too old
		}
		if done, err := showProgress(cmd, app, last); done {
			return true, err
		}
	}
	return false, nil
}

func showProgress(cmd *cobra.Command, app *v1.MyApp, last *string) (done bool, err error) {
	says, done, failed := progressOf(app)
	if says != *last {
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), says); err != nil {
			return true, err
		}
		*last = says
	}
	return done, failed
}

// ended says that the time is over rather than which request that has ended.
func ended(ctx context.Context, key client.ObjectKey, last string, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return errors.New("interrupted")
	}
	if ctx.Err() != nil {
		return fmt.Errorf("the rollout of %s has not come to an end in time: %s", key, last)
	}
	return err
}

// progressOf says how far a rollout is, and whether it has come to an end: a good one
// without an error.
func progressOf(app *v1.MyApp) (says string, done bool, failed error) {
	total, updated := int32(0), int32(0)
	if s := app.Status.Summary; s != nil {
		total, updated = s.Clusters, s.Updated
	}
	if app.Status.ObservedGeneration != app.Generation {
		return "waiting for the hub to see the latest spec", false, nil
	}
	says = fmt.Sprintf("%d of %d members have the current revision", updated, total)
	condition := func(name string) string {
		if c := meta.FindStatusCondition(app.Status.Conditions, name); c != nil {
			return c.Message
		}
		return "nothing is known yet"
	}
	if meta.IsStatusConditionTrue(app.Status.Conditions, v1.ConditionReady) {
		return fmt.Sprintf("%s is rolled out: %s", app.Name, condition(v1.ConditionReady)), true, nil
	}
	if r := app.Status.Rollout; r != nil {
		switch r.Phase {
		case v1.RolloutPaused, v1.RolloutRolledBack:
			return says + "; " + condition(v1.ConditionProgressing), true, errors.New("the rollout of " + app.Name + " has failed")
		case v1.RolloutProgressing, v1.RolloutRollingBack:
			return says + "; " + condition(v1.ConditionProgressing), false, nil
		case v1.RolloutCompleted:
		}
	}
	if meta.IsStatusConditionTrue(app.Status.Conditions, v1.ConditionStalled) {
		return says + "; " + condition(v1.ConditionStalled), true, errors.New("the rollout of " + app.Name + " cannot go on")
	}
	return says + "; " + condition(v1.ConditionReady), false, nil
}
