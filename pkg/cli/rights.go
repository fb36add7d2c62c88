package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/render"
	"github.com/example/myapp-hub/pkg/join"
)

// ErrDiffers ends the plugin with 1, as kubectl diff does, after it has said what differs.
var ErrDiffers = errors.New("there are differences")

// failed is an error of a command that ends with 1 for a difference.
type failed struct{ error }

// Unwrap gives what went wrong.
func (f failed) Unwrap() error { return f.error }

// ExitCode is what the plugin ends with.
func ExitCode(err error) int {
	var f failed
	switch {
	case err == nil:
		return 0
	case errors.As(err, &f):
		return 2
	}
	return 1
}

const rightsLong = `Show the rights that the hub or the agent needs on a cluster for the apps that are there,
and no others: a role, to be applied on the cluster.

With --member-context or --member-kubeconfig the role that is there is compared instead:
+ is missing, - is not needed. The exit code is 1 if anything differs. Kinds that apps
have had there once stay readable, or nobody could say that such an app is gone; the
cluster remembers them, so look with its context before you take rights away.

An app whose kinds the role does not cover is not begun; its row says PermissionMissing
and names the rule.`

const rightsExample = `  # What the apps on eu-1 need
  kubectl myapp rights eu-1
  # What is missing there, and what is too much
  kubectl myapp rights eu-1 --member-context eu-1
  # Grant exactly that
  kubectl myapp rights eu-1 --member-context eu-1 -o yaml | kubectl --context eu-1 replace -f -`

func rightsCommand(hub *hubFlags) *cobra.Command {
	var member hubFlags
	var output string
	cmd := &cobra.Command{
		Use: "rights NAME", Short: "Show the rights that the apps on a cluster need there",
		Long: rightsLong, Example: rightsExample, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, _, err := hub.connect()
			if err != nil {
				return err
			}
			cluster := &v1.MemberCluster{}
			if err := c.Get(cmd.Context(), client.ObjectKey{Name: args[0]}, cluster); err != nil {
				return err
			}
			uses, err := usesOf(cmd.Context(), c, cluster)
			if err != nil {
				return err
			}
			if output != "" && output != "yaml" {
				return fmt.Errorf("--output %q is not yaml", output)
			}
			var there client.Client
			var recorded []schema.GroupVersionKind
			if member != (hubFlags{}) {
				if there, _, _, err = member.connect(); err == nil {
					recorded, err = join.Recorded(cmd.Context(), there, cluster)
				}
				if err != nil {
					return err
				}
			}
			derived, err := join.Derived(cluster, uses, recorded)
			if err != nil {
				return err
			}
			if there == nil || output == "yaml" {
				return printRights(cmd.OutOrStdout(), cluster, uses, derived)
			}
			return compareRights(cmd.Context(), cmd.OutOrStdout(), there, derived)
		},
	}
	f := cmd.Flags()
	f.StringVar(&member.kubeconfig, "member-kubeconfig", "", "kubeconfig of the cluster, to compare with what is there")
	f.StringVar(&member.context, "member-context", "", "context of the cluster, likewise")
	f.StringVarP(&output, "output", "o", "", "yaml: print the role also if the cluster is known; default: compare")
	return cmd
}

// usesOf are the kinds of the apps that are on a member, by what the hub renders for it.
func usesOf(ctx context.Context, c client.Client, cluster *v1.MemberCluster) ([]join.Use, error) {
	var apps v1.MyAppList
	if err := c.List(ctx, &apps); err != nil {
		return nil, fmt.Errorf("listing the apps of member %s: %w", cluster.Name, err)
	}
	of := render.ClusterOf(cluster)
	users := map[schema.GroupVersionKind]map[string]bool{}
	for i := range apps.Items {
		app := &apps.Items[i]
		if !slices.ContainsFunc(app.Status.Placements, func(r v1.PlacementRow) bool { return r.Cluster == cluster.Name }) {
			continue
		}
		manifests, err := render.Manifests(render.Input{
			Namespace: app.Namespace, Name: app.Name, UID: app.UID, Cluster: of,
			Template: render.Template(&app.Spec), Replicas: render.Replicas(&app.Spec, of),
		})
		if err != nil {
			return nil, fmt.Errorf("MyApp %s/%s on %s: %w", app.Namespace, app.Name, cluster.Name, err)
		}
		for _, m := range manifests {
			if users[m.GVK] == nil {
				users[m.GVK] = map[string]bool{}
			}
			users[m.GVK][app.Namespace+"/"+app.Name] = true
		}
	}
	var uses []join.Use
	for _, kind := range slices.SortedFunc(maps.Keys(users), func(a, b schema.GroupVersionKind) int { return strings.Compare(a.String(), b.String()) }) {
		uses = append(uses, join.Use{Kind: kind, Apps: slices.Sorted(maps.Keys(users[kind]))})
	}
	return uses, nil
}

func printRights(out io.Writer, cluster *v1.MemberCluster, uses []join.Use, derived *unstructured.Unstructured) error {
	var text strings.Builder
	fmt.Fprintf(&text, "# What the %s member %s needs for its apps.\n", cluster.Spec.Mode, cluster.Name)
	for _, use := range uses {
		fmt.Fprintf(&text, "# %s: %s\n", use.Kind.Kind, some(use.Apps))
	}
	content, err := yaml.Marshal(derived.Object)
	if err != nil {
		return err
	}
	text.Write(content)
	_, err = io.WriteString(out, text.String())
	return err
}

// some are the first of a list, and how many there are more.
func some(list []string) string {
	const most = 3
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
}

func compareRights(ctx context.Context, out io.Writer, member client.Client, derived *unstructured.Unstructured) error {
	rules := func(o *unstructured.Unstructured) (map[join.Permission]bool, error) {
		var role rbacv1.ClusterRole // a Role has the same fields
		err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &role)
		return join.Permissions(role.Rules), err
	}
	is := derived.DeepCopy()
	is.Object["rules"] = nil
	if err := member.Get(ctx, client.ObjectKeyFromObject(derived), is); client.IgnoreNotFound(err) != nil {
		return err
	} else if apierrors.IsNotFound(err) {
		return fmt.Errorf("there is no %s on the cluster: let it join with kubectl myapp join, or apply what this command prints without --member-context", describe(derived))
	}
	there, err := rules(is)
	if err != nil {
		return err
	}
	wanted, err := rules(derived)
	if err != nil {
		return err
	}
	missing, needless := join.Difference(wanted, there), join.Difference(there, wanted)
	for _, line := range missing {
		_, _ = fmt.Fprintf(out, "+ %s\n", line) // who does not read it sees the exit code
	}
	for _, line := range needless {
		_, _ = fmt.Fprintf(out, "- %s\n", line)
	}
	if len(missing)+len(needless) > 0 {
		return ErrDiffers
	}
	return nil
}
