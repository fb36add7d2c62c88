package cli

import (
	"context"
	"fmt"
	"io"
	"net/url"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/example/myapp-hub/pkg/join"
	"github.com/example/myapp-hub/pkg/version"
)

// fieldManager is that of what the plugin applies to clusters.
const fieldManager = client.FieldOwner("kubectl-myapp")

const joinLong = `Let this cluster join a hub.

As a Pull member: install the agent, with the rights that it needs here and the join
token that kubectl myapp token create has printed. The agent needs a way to the hub's API
server, and none back.

As a Push member (--mode push NAME): make an account with the rights that the hub needs
here, and give the hub its kubeconfig. The hub needs a way to this cluster's API server.
--kubeconfig and --context are those of this cluster, --hub-kubeconfig and --hub-context
those of the hub.`

const joinExample = `  # On the cluster that joins, with the line from the hub
  kubectl myapp join --token TOKEN
  # Look at it first, or give it to another tool
  kubectl myapp join --token TOKEN --dry-run=client -o yaml
  # The agent is installed by its chart
  kubectl myapp join --token TOKEN --secret-only
  # A Push member
  kubectl myapp join --mode push eu-1 --context eu-1 --hub-context hub --labels region=eu`

type joinFlags struct {
	mode                  string
	token, dryRun, output string
	agent                 join.AgentOptions
	skipAgent, secretOnly bool
	replace               bool

	push   join.PushOptions
	hub    hubFlags
	caFile string
}

func joinCommand(member *hubFlags) *cobra.Command {
	var o joinFlags
	cmd := &cobra.Command{
		Use: "join (--token TOKEN | --mode push NAME)", Short: "Let this cluster join a hub",
		Long: joinLong, Example: joinExample, Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case o.mode == "push" && len(args) == 1:
				o.push.Member = args[0]
				return o.runPush(cmd, member)
			case o.mode == "push":
				return fmt.Errorf("name the MemberCluster: kubectl myapp join --mode push NAME")
			case o.mode != "pull":
				return fmt.Errorf("--mode %q is neither pull nor push", o.mode)
			case len(args) > 0:
				return fmt.Errorf("a Pull member has the name that its join token is for: leave out %q", args[0])
			}
			return o.runPull(cmd, member)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.mode, "mode", "pull", "pull or push")
	f.StringVar(&o.token, "token", "", "what kubectl myapp token create has printed; required for pull")
	f.StringVar(&o.agent.Image, "image", "myapp-hub/agent:"+version.String(), "image of the agent")
	f.StringVar(&o.agent.Proxy, "proxy", "", "URL of the HTTP proxy by which the agent reaches the hub; default: none")
	f.BoolVar(&o.skipAgent, "skip-agent", false, "install account, rights and Secret only; the agent runs elsewhere")
	f.BoolVar(&o.secretOnly, "secret-only", false, "install the Secret only; the chart of the agent has all else")
	f.StringVar(&o.agent.TenantServiceAccount, "tenant-service-account", "", "act on this cluster, in each namespace, as the ServiceAccount of this name there; default: with rights for all apps")
	f.StringVar(&o.dryRun, "dry-run", "none", "none or client; with client nothing is changed, and the objects are printed")
	f.StringVarP(&o.output, "output", "o", "yaml", "yaml; for --dry-run=client")
	f.StringVar(&o.hub.kubeconfig, "hub-kubeconfig", "", "kubeconfig of the hub, for push; default: as kubectl")
	f.StringVar(&o.hub.context, "hub-context", "", "context of the hub, for push")
	f.StringVar(&o.push.HubNamespace, "hub-namespace", hubNamespace, "the hub's own namespace, for push")
	f.StringVar(&o.push.Namespace, "member-namespace", "", "the only namespace of this cluster that the member is, for push")
	f.StringToStringVar(&o.push.Labels, "labels", nil, "labels of the MemberCluster, for push: KEY=VALUE,...")
	f.StringVar(&o.push.Server, "server", "", "URL at which the hub reaches this cluster, for push; default: that of the kubeconfig")
	f.BoolVar(&o.replace, "replace", false, "take the place of what is on this cluster for another member or another hub")
	f.StringVar(&o.caFile, "ca-file", "", "file with the certificates of the authorities that the hub verifies this cluster with, for push; default: those of the kubeconfig")
	return cmd
}

func (o *joinFlags) runPull(cmd *cobra.Command, member *hubFlags) error {
	objects, line, err := o.objects()
	if err != nil {
		return err
	}
	if o.dryRun == "client" {
		return printObjects(cmd.OutOrStdout(), objects)
	}
	c, _, _, err := member.connect()
	if err != nil {
		return err
	}
	if !o.replace {
		if err := join.CheckAgent(cmd.Context(), c, line); err != nil {
			return err
		}
	}
	if !o.secretOnly && !o.skipAgent {
		if err := join.CheckNoChart(cmd.Context(), c, line); err != nil {
			return err
		}
	}
	for _, object := range objects {
		if err := applyAndSay(cmd, c, object); err != nil {
			return err
		}
	}
	note(cmd, "This cluster joins the hub at %s as %s. On the hub: kubectl get mc %s", line.Server, line.Member, line.Member)
	return nil
}

func (o *joinFlags) runPush(cmd *cobra.Command, member *hubFlags) error {
	if o.token != "" || o.dryRun != "none" {
		return fmt.Errorf("--token and --dry-run are for Pull members")
	}
	if o.hub == (hubFlags{}) {
		return fmt.Errorf("say which cluster is the hub: --hub-context or --hub-kubeconfig")
	}
	c, _, config, err := member.connect()
	if err != nil {
		return err
	}
	hub, _, _, err := o.hub.connect()
	if err != nil {
		return err
	}
	if o.push.Server, o.push.CA, err = reachedAt(config, o.push.Server, o.caFile); err != nil {
		return err
	}
	if len(o.push.CA) == 0 {
		return fmt.Errorf("the kubeconfig does not say how to verify this cluster: give --ca-file")
	}
	o.push.TokenTimeout, o.push.TenantServiceAccount, o.push.Replace = mailboxTimeout, o.agent.TenantServiceAccount, o.replace
	err = join.Push(cmd.Context(), hub, c, o.push, func(c client.Client, object client.Object) error {
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
		if err != nil {
			return err
		}
		delete(content, "status")
		return applyAndSay(cmd, c, &unstructured.Unstructured{Object: content})
	})
	if err != nil {
		return err
	}
	note(cmd, "The hub reaches this cluster at %s. On the hub: kubectl get mc %s", o.push.Server, o.push.Member)
	return nil
}

func (o *joinFlags) objects() ([]*unstructured.Unstructured, join.Line, error) {
	switch {
	case o.token == "":
		return nil, join.Line{}, fmt.Errorf("--token is missing: give it what kubectl myapp token create NAME has printed on the hub")
	case o.dryRun != "none" && o.dryRun != "client":
		return nil, join.Line{}, fmt.Errorf("--dry-run %q is neither none nor client", o.dryRun)
	case o.skipAgent && o.secretOnly:
		return nil, join.Line{}, fmt.Errorf("--secret-only leaves out more than --skip-agent: give one of them")
	case o.output != "yaml":
		return nil, join.Line{}, fmt.Errorf("--output %q is not yaml", o.output)
	}
	line, err := join.ParseLine(o.token)
	if err != nil {
		return nil, line, fmt.Errorf("--token cannot be used: %w", err)
	}
	if o.secretOnly {
		if o.agent.Proxy != "" || o.agent.TenantServiceAccount != "" {
			return nil, line, fmt.Errorf("with --secret-only the agent is its chart's: give the values proxy and tenantServiceAccount to the chart instead of --proxy and --tenant-service-account")
		}
		objects, err := join.SecretObjects(line)
		return objects, line, err
	}
	objects, err := join.Objects(line, o.agent.TenantServiceAccount)
	if err != nil || o.skipAgent {
		return objects, line, err
	}
	if err := checkProxy(o.agent.Proxy); err != nil {
		return nil, line, err
	}
	for _, object := range []client.Object{join.Network(line), join.Agent(line, o.agent)} {
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
		if err != nil {
			return nil, line, err
		}
		delete(content, "status")
		objects = append(objects, &unstructured.Unstructured{Object: content})
	}
	return objects, line, nil
}

func checkProxy(proxy string) error {
	u, err := url.Parse(proxy)
	if proxy == "" || err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
		return nil
	}
	return fmt.Errorf("--proxy is not the URL of an HTTP proxy, such as http://proxy.example.com:3128")
}

func printObjects(out io.Writer, objects []*unstructured.Unstructured) error {
	for _, object := range objects {
		text, err := yaml.Marshal(object.Object)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "---\n%s", text); err != nil {
			return err
		}
	}
	return nil
}

// applyAndSay applies an object and says what it is.
func applyAndSay(cmd *cobra.Command, c client.Client, object *unstructured.Unstructured) error {
	if err := applyOne(cmd.Context(), c, object); err != nil {
		return err
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s applied\n", describe(object))
	return err
}

func applyOne(ctx context.Context, c client.Client, object *unstructured.Unstructured) error {
	err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), fieldManager, client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("applying %s: %w", describe(object), err)
	}
	return nil
}

func describe(object *unstructured.Unstructured) string {
	name := object.GetName()
	if object.GetNamespace() != "" {
		name = object.GetNamespace() + "/" + name
	}
	return object.GetKind() + " " + name
}
