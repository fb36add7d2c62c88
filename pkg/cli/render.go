package cli

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/health"
	"github.com/example/myapp-hub/pkg/hub/placement"
	"github.com/example/myapp-hub/pkg/hub/plan"
	"github.com/example/myapp-hub/pkg/hub/render"
	"github.com/example/myapp-hub/pkg/manifest"
)

const renderLong = `Show the objects that each member gets from a MyApp, as the hub renders them:
overrides applied, variables replaced. Secrets are shown without their content.
Nothing is changed anywhere.

With --filename the MyApp is read from a file, before it is applied.`

const renderExample = `  # What every member gets from the MyApp web
  kubectl myapp render web -n shop
  # What eu-1 would get from an edited file
  kubectl myapp render -f web.yaml --cluster eu-1`

func renderCommand(hub *hubFlags) *cobra.Command {
	var file string
	var only []string
	cmd := &cobra.Command{
		Use:     "render [NAME] [-f FILE] [--cluster NAME]...",
		Short:   "Show the objects that each member gets",
		Long:    renderLong,
		Example: renderExample,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (file == "") == (len(args) == 0) {
				return fmt.Errorf("name a MyApp or a file (-f), one of them")
			}
			c, namespace, _, err := hub.connect()
			if err != nil {
				return err
			}
			app := &v1.MyApp{}
			if file != "" {
				err = readApp(cmd.InOrStdin(), file, namespace, app)
			} else {
				err = c.Get(cmd.Context(), types.NamespacedName{Namespace: namespace, Name: args[0]}, app)
			}
			if err != nil {
				return err
			}
			return renderAll(cmd.Context(), cmd.OutOrStdout(), c, app, only)
		},
	}
	cmd.Flags().StringVarP(&file, "filename", "f", "", "file with the MyApp; - for standard input")
	cmd.Flags().StringSliceVar(&only, "cluster", nil, "members to show; default: all that the placement chooses")
	return cmd
}

func readApp(stdin io.Reader, file, namespace string, app *v1.MyApp) error {
	data, err := readFile(stdin, file)
	if err != nil {
		return fmt.Errorf("reading the MyApp: %w", err)
	}
	if err := yaml.UnmarshalStrict(data, app); err != nil {
		return fmt.Errorf("reading the MyApp in %s: %w", file, err)
	}
	if app.Kind != "MyApp" || app.APIVersion != v1.GroupVersion.String() {
		return fmt.Errorf("%s has a %s %s, not a MyApp of %s", file, app.APIVersion, app.Kind, v1.GroupVersion)
	}
	if app.Namespace == "" {
		app.Namespace = namespace
	}
	return nil
}

// renderAll prints the objects of every chosen member.
func renderAll(ctx context.Context, out io.Writer, c client.Client, app *v1.MyApp, only []string) error {
	if errs := render.Validate(app, health.CheckRule); len(errs) > 0 {
		return fmt.Errorf("the MyApp is not valid: %w", errs.ToAggregate())
	}
	state, err := stateOf(ctx, c, app)
	if err != nil {
		return err
	}
	chosen, err := choose(&state, only)
	if err != nil {
		return err
	}
	for _, v := range chosen {
		cluster := state.Clusters[v.Cluster]
		manifests, err := render.Manifests(render.Input{
			Namespace: app.Namespace, Name: app.Name, UID: app.UID, Cluster: cluster,
			Stamp:    manifest.Stamp{Generation: app.Generation, SpecHash: render.SpecHash(&app.Spec)},
			Template: render.Template(&app.Spec), Replicas: v.Replicas,
		})
		if err != nil {
			return err
		}
		for _, m := range manifests {
			text, err := yaml.JSONToYAML(m.Raw)
			if err != nil {
				return fmt.Errorf("printing %s: %w", m, err)
			}
			if _, err := fmt.Fprintf(out, "---\n# member %s: %s\n%s", cluster.Name, m, text); err != nil {
				return err
			}
		}
	}
	return nil
}

// choose gives the members to show, with their pods. One that is asked for need not be one
// that the placement chooses.
func choose(state *plan.State, only []string) ([]placement.Verdict, error) {
	for _, name := range only {
		if _, ok := state.Clusters[name]; !ok {
			return nil, fmt.Errorf("there is no MemberCluster %s: see kubectl get memberclusters", name)
		}
	}
	in := state.Input()
	chosen := slices.DeleteFunc(placement.Schedule(in).Verdicts, func(v placement.Verdict) bool {
		if len(only) > 0 {
			return !slices.Contains(only, v.Cluster)
		}
		return v.Outcome != placement.Run
	})
	for i := range chosen {
		if v := &chosen[i]; v.Outcome != placement.Run && !in.Rules.Divided() {
			v.Replicas = in.Numbers[v.Cluster]
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("the placement chooses none of the %d members, see kubectl myapp explain; name one with --cluster", len(state.Members))
	}
	return chosen, nil
}
