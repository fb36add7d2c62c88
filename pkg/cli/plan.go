package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/jsonmergepatch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/placement"
	"github.com/example/myapp-hub/pkg/hub/plan"
)

const planLong = `Show what kubectl apply of a file would do to every member, before it is done: which
members get or lose the app, how many pods move, in which order, what becomes of the
objects, and whether the hub would stop and ask. Nothing is changed anywhere.

The file holds a MyApp or a MemberCluster. It is put to the hub's API server as a dry
run, so that defaults, admission and what others have set count as they will. What
happens is then decided by the hub's own code on what you may read; the differences
between objects are of what the hub renders, not of what a member would make of it.

Exit status: 0 if nothing changes, 1 if something does, more if there was an error.`

const planExample = `  # What would this edit do?
  kubectl myapp plan -f web.yaml
  # What if this member had other labels?
  kubectl myapp plan -f eu-1.yaml
  # What if the app were deleted?
  kubectl myapp plan -f web.yaml --delete`

type planFlags struct {
	file, output string
	delete       bool
}

func planCommand(hub *hubFlags) *cobra.Command {
	var o planFlags
	cmd := &cobra.Command{
		Use: "plan -f FILE [--delete]", Short: "Show what an edit would do to every member",
		Long: planLong, Example: planExample, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.file == "" {
				return failed{fmt.Errorf("name a file with -f, or - for standard input")}
			}
			c, namespace, _, err := hub.connect()
			if err != nil {
				return failed{err}
			}
			plans, err := o.plans(cmd.Context(), c, cmd.InOrStdin(), namespace)
			if err != nil {
				return failed{err}
			}
			return o.report(cmd.OutOrStdout(), plans)
		},
	}
	cmd.Flags().StringVarP(&o.file, "filename", "f", "", "file with the MyApp or MemberCluster; - for standard input")
	cmd.Flags().BoolVar(&o.delete, "delete", false, "plan its deletion instead")
	outputFlag(cmd, &o.output)
	return cmd
}

// report prints the plans, and is ErrDiffers if one of them changes something.
func (o *planFlags) report(out io.Writer, plans []plan.Plan) error {
	differs := slices.ContainsFunc(plans, func(p plan.Plan) bool { return p.Changes() })
	var err error
	if o.output == "json" {
		err = printJSON(out, plans)
	} else {
		err = printPlans(out, plans)
	}
	if err == nil && differs {
		return ErrDiffers
	}
	return err
}

// plans are those of the app in the file, or of every app that the member in it concerns.
func (o *planFlags) plans(ctx context.Context, c client.Client, stdin io.Reader, namespace string) ([]plan.Plan, error) {
	data, err := readFile(stdin, o.file)
	if err != nil {
		return nil, fmt.Errorf("reading the file: %w", err)
	}
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal(data, &kind); err != nil {
		return nil, fmt.Errorf("reading %s: %w", o.file, err)
	}
	switch {
	case kind.APIVersion != v1.GroupVersion.String():
	case kind.Kind == "MyApp":
		p, err := o.planApp(ctx, c, data, namespace)
		return []plan.Plan{p}, err
	case kind.Kind == "MemberCluster":
		return o.planMember(ctx, c, data, namespace)
	}
	return nil, fmt.Errorf("%s has a %s %s: a MyApp or a MemberCluster of %s can be planned, one in a file", o.file, kind.APIVersion, kind.Kind, v1.GroupVersion)
}

// readFile reads a file that -f names; - is standard input.
func readFile(stdin io.Reader, file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(file)
}

func (o *planFlags) planApp(ctx context.Context, c client.Client, data []byte, namespace string) (plan.Plan, error) {
	edited := &v1.MyApp{}
	if err := yaml.UnmarshalStrict(data, edited); err != nil {
		return plan.Plan{}, fmt.Errorf("reading the MyApp in %s: %w", o.file, err)
	}
	if edited.Namespace == "" {
		edited.Namespace = namespace
	}
	live := &v1.MyApp{}
	exists, err := dryRun(ctx, c, data, edited, live, o.delete)
	if err != nil {
		return plan.Plan{}, err
	}
	after, err := stateOf(ctx, c, edited)
	if err != nil {
		return plan.Plan{}, err
	}
	before := after
	before.App = nil
	if exists {
		before.App = live
		edited.Status = live.Status
	}
	return plan.Of(before, after)
}

// dryRun makes edited what it would be after kubectl apply, by asking the hub, and live
// what it is; exists is false if it would be created. For a deletion edited is only marked.
func dryRun(ctx context.Context, c client.Client, data []byte, edited, live client.Object, deletion bool) (exists bool, err error) {
	key := client.ObjectKeyFromObject(edited)
	err = c.Get(ctx, key, live)
	switch {
	case apierrors.IsNotFound(err) && deletion:
		return false, fmt.Errorf("there is no %s to be deleted: %w", key, err)
	case apierrors.IsNotFound(err):
		return false, c.Create(ctx, edited, client.DryRunAll)
	case err != nil:
		return false, err
	}
	current, err := asJSON(live)
	if err != nil {
		return true, err
	}
	if deletion {
		if err := yaml.Unmarshal(current, edited); err != nil {
			return true, err
		}
		now := metav1.Now()
		edited.SetDeletionTimestamp(&now)
		return true, nil
	}
	modified, err := yaml.YAMLToJSON(data)
	if err != nil {
		return true, err
	}
	// As kubectl apply: what was in the file the last time and is not any more goes.
	patch, err := jsonmergepatch.CreateThreeWayJSONMergePatch([]byte(live.GetAnnotations()[lastApplied]), modified, current)
	if err != nil {
		return true, fmt.Errorf("comparing the file with what is on the hub: %w", err)
	}
	if err := yaml.Unmarshal(current, edited); err != nil {
		return true, err
	}
	return true, c.Patch(ctx, edited, client.RawPatch(types.MergePatchType, patch), client.DryRunAll)
}

// lastApplied is kubectl's.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

func asJSON(o client.Object) ([]byte, error) {
	text, err := yaml.Marshal(o)
	if err != nil {
		return nil, err
	}
	return yaml.YAMLToJSON(text)
}

// planMember plans every app that the user may read, for a fleet with another member in it.
func (o *planFlags) planMember(ctx context.Context, c client.Client, data []byte, namespace string) ([]plan.Plan, error) {
	edited := &v1.MemberCluster{}
	if err := yaml.UnmarshalStrict(data, edited); err != nil {
		return nil, fmt.Errorf("reading the MemberCluster in %s: %w", o.file, err)
	}
	live := &v1.MemberCluster{}
	exists, err := dryRun(ctx, c, data, edited, live, o.delete)
	if err != nil {
		return nil, err
	}
	members, err := membersOf(ctx, c)
	if err != nil {
		return nil, err
	}
	changed := slices.DeleteFunc(slices.Clone(members), func(m v1.MemberCluster) bool { return m.Name == edited.Name })
	if !o.delete {
		if exists {
			edited.Status = live.Status
		}
		recordTaints(edited)
		changed = append(changed, *edited)
	}
	apps, _, err := appsOf(ctx, c, namespace)
	if err != nil {
		return nil, err
	}
	var plans []plan.Plan
	fleetBefore, fleetAfter := plan.StateOf(members), plan.StateOf(changed)
	namespaces := map[string]labels.Set{}
	for i := range apps {
		app := &apps[i]
		known, ok := namespaces[app.Namespace]
		if !ok {
			if known, err = namespaceLabels(ctx, c, app.Namespace); err != nil {
				return nil, err
			}
			namespaces[app.Namespace] = known
		}
		before, after := stateIn(fleetBefore, app, known), stateIn(fleetAfter, app, known)
		p, err := plan.Of(before, after)
		if err != nil {
			return nil, err
		}
		if p.Changes() {
			plans = append(plans, p)
		}
	}
	return plans, nil
}

// recordTaints does what the hub will do at once: from then on the taints count.
func recordTaints(m *v1.MemberCluster) {
	for _, t := range m.Spec.Taints {
		if t.Effect == v1.TaintNoExecute && m.Status.TaintOnRecord(t.Key, t.Value, t.Effect) == nil {
			m.Status.Taints = append(m.Status.Taints, v1.TaintStatus{Key: t.Key, Value: t.Value, Effect: t.Effect, TimeAdded: metav1.Now()})
		}
	}
}

func printPlans(out io.Writer, plans []plan.Plan) error {
	if len(plans) == 0 {
		_, err := fmt.Fprintln(out, "No app changes on any member.")
		return err
	}
	for i := range plans {
		p := &plans[i]
		w := newTable(out)
		w.print("%s/%s: %s; %d stay as they are\n%s\n", p.Namespace, p.Name, p, p.Unchanged, p.Summary)
		if p.Problems != "" {
			w.print("%s\n", p.Problems)
		}
		if p.Asks != "" {
			w.print("The hub will stop and ask: %s\n", p.Asks)
		}
		if len(p.Members) > 0 {
			w.print("\nSTEP\tMEMBER\tCHANGE\tPODS\tREASON\tMESSAGE\n")
		}
		for _, m := range p.Members {
			w.print("%d\t%s\t%s\t%s\t%s\t%s\n", m.Step, m.Cluster, m.Action, pods(m), m.Reason, m.Message)
		}
		w.print("\n")
		if err := w.flush(); err != nil {
			return err
		}
		for _, d := range p.Diffs {
			if _, err := fmt.Fprintf(out, "# on %s, as rendered\n%s\n", firstOf(d.Clusters), d.Text); err != nil {
				return err
			}
		}
	}
	return nil
}

func pods(m plan.Member) string {
	if m.From == m.To {
		return fmt.Sprint(m.To)
	}
	return fmt.Sprintf("%d → %d", m.From, m.To)
}

// firstOf are the first few names of a list.
func firstOf(names []string) string { return placement.FirstOf(names, 5) }
