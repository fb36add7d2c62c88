package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/plan"
	"github.com/example/myapp-hub/pkg/hub/render"
)

// revisionsOf are the revisions of an app that are kept, the oldest first.
func revisionsOf(ctx context.Context, c client.Client, app *v1.MyApp) ([]appsv1.ControllerRevision, error) {
	var list appsv1.ControllerRevisionList
	err := c.List(ctx, &list, client.InNamespace(app.Namespace), client.MatchingLabels{v1.LabelAppUID: string(app.UID)})
	if err != nil {
		return nil, fmt.Errorf("listing the revisions of %s: %w", app.Name, err)
	}
	slices.SortFunc(list.Items, func(a, b appsv1.ControllerRevision) int { return int(a.Revision - b.Revision) })
	return list.Items, nil
}

// numbered finds a revision; with number 0 the one before the spec's: the last that was
// rolled out well, else the newest, of those that say something else and have not failed.
func numbered(app *v1.MyApp, revisions []appsv1.ControllerRevision, number int64) (*appsv1.ControllerRevision, error) {
	if number != 0 {
		for i := range revisions {
			if revisions[i].Revision == number {
				return &revisions[i], nil
			}
		}
		return nil, fmt.Errorf("%s has no revision %d, see kubectl myapp rollout history %s", app.Name, number, app.Name)
	}
	var best *appsv1.ControllerRevision
	current := render.Template(&app.Spec)
	for i := range slices.Backward(revisions) {
		r := &revisions[i]
		template, err := render.ParseTemplate(r.Data.Raw)
		if err != nil {
			return nil, err
		}
		if equality.Semantic.DeepEqual(template, current) {
			continue
		}
		if rollout := app.Status.Rollout; rollout != nil {
			if r.Name == rollout.StableRevision {
				return r, nil
			}
			if slices.Contains(rollout.FailedRevisions, r.Name) {
				continue
			}
		}
		if best == nil {
			best = r
		}
	}
	if best == nil {
		return nil, fmt.Errorf("%s has no earlier revision to go back to", app.Name)
	}
	return best, nil
}

// appAndRevisions reads an app and its history.
func appAndRevisions(ctx context.Context, hub *hubFlags, name string) (*v1.MyApp, []appsv1.ControllerRevision, error) {
	c, namespace, _, err := hub.connect()
	if err != nil {
		return nil, nil, err
	}
	app := &v1.MyApp{}
	if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, app); err != nil {
		return nil, nil, err
	}
	revisions, err := revisionsOf(ctx, c, app)
	return app, revisions, err
}

// appAndRevision reads an app and one of its revisions, as numbered finds it.
func appAndRevision(ctx context.Context, hub *hubFlags, name string, number int64) (*v1.MyApp, *appsv1.ControllerRevision, error) {
	app, revisions, err := appAndRevisions(ctx, hub, name)
	if err != nil {
		return nil, nil, err
	}
	revision, err := numbered(app, revisions, number)
	return app, revision, err
}

func historyCommand(hub *hubFlags) *cobra.Command {
	return &cobra.Command{
		Use: "history NAME", Short: "Show the revisions that are kept, and who has them",
		Args: cobra.ExactArgs(1), ValidArgsFunction: completeApps(hub),
		RunE: func(cmd *cobra.Command, args []string) error {
			app, revisions, err := appAndRevisions(cmd.Context(), hub, args[0])
			if err != nil {
				return err
			}
			w := newTable(cmd.OutOrStdout())
			w.print("REVISION\tNAME\tMEMBERS\tIMAGE\tNOTES\n")
			for i := range revisions {
				template, err := render.ParseTemplate(revisions[i].Data.Raw)
				if err != nil {
					return err
				}
				w.print("%d\t%s\t%d\t%s\t%s\n", revisions[i].Revision, revisions[i].Name, membersWith(app, revisions[i].Name), template.Image, orDash(notes(app, revisions[i].Name)))
			}
			return w.flush()
		},
	}
}

func membersWith(app *v1.MyApp, revision string) (n int) {
	for i := range app.Status.Placements {
		if row := &app.Status.Placements[i]; row.IsPlaced() && row.Revision == revision {
			n++
		}
	}
	return n
}

// notes say what a revision is in the rollout.
func notes(app *v1.MyApp, revision string) string {
	var says []string
	if app.Status.Revision == revision {
		says = append(says, "current")
	}
	if r := app.Status.Rollout; r != nil {
		if r.StableRevision == revision && r.Revision != revision {
			says = append(says, "stable")
		}
		if slices.Contains(r.FailedRevisions, revision) {
			says = append(says, "failed")
		}
	}
	return strings.Join(says, ", ")
}

func diffCommand(hub *hubFlags) *cobra.Command {
	number := int64(0)
	cmd := &cobra.Command{
		Use: "diff NAME", Short: "Show what the spec changes of an earlier revision",
		Args: cobra.ExactArgs(1), ValidArgsFunction: completeApps(hub),
		RunE: func(cmd *cobra.Command, args []string) error {
			app, old, err := appAndRevision(cmd.Context(), hub, args[0], number)
			if err != nil {
				return err
			}
			text, err := plan.DiffTemplates("revision "+strconv.FormatInt(old.Revision, 10), old.Data.Raw, "the spec", &app.Spec)
			if err != nil || text == "" {
				return err
			}
			if _, err := fmt.Fprint(cmd.OutOrStdout(), text); err != nil {
				return err
			}
			return ErrDiffers
		},
	}
	cmd.Flags().Int64Var(&number, "revision", 0, "the revision to compare with; 0 for the one before")
	return cmd
}

func undoCommand(hub *hubFlags) *cobra.Command {
	number := int64(0)
	cmd := &cobra.Command{
		Use: "undo NAME", Short: "Make an earlier revision the current one",
		Long: "Put what an earlier revision said back into the spec. Replicas, placement and policies stay as they are.",
		Args: cobra.ExactArgs(1), ValidArgsFunction: completeApps(hub),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, old, err := appAndRevision(cmd.Context(), hub, args[0], number)
			if err != nil {
				return err
			}
			template, err := render.ParseTemplate(old.Data.Raw)
			if err != nil {
				return err
			}
			return change(cmd, hub, args[0], "rolled back to revision "+strconv.FormatInt(old.Revision, 10), func(app *v1.MyApp) error {
				app.Spec = render.WithTemplate(&app.Spec, template)
				return nil
			})
		},
	}
	cmd.Flags().Int64Var(&number, "to-revision", 0, "the revision to go back to; 0 for the one before")
	return cmd
}
