package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/example/myapp-hub/pkg/agent/identity"
	"github.com/example/myapp-hub/pkg/join"
)

// What deploy/rbac and the hub call the things that joining needs.
const (
	// HubNamespace holds the hub's ServiceAccount and the members' kubeconfigs;
	// on members, the ServiceAccount that the hub or the agent works with, and what
	// the agent knows of its hub.
	HubNamespace     = "myapp-hub-system"
	hubAccount       = "myapp-hub"
	pushAccount      = "myapp-hub"
	kubeconfigSuffix = "-kubeconfig"

	tokenTTL       = 24 * time.Hour
	mailboxTimeout = 60 * time.Second
)

// newcomer is a member on its way to the hub.
type newcomer struct {
	MemberConfig
	cluster *Cluster
	// namespace of a namespaced member, else empty.
	namespace string
}

// grant gives an account on the member's cluster what the hub needs to push, and
// returns the account's name.
func (n newcomer) grant(ctx context.Context) (string, error) {
	rights, err := join.Rights("push", n.namespace)
	if err != nil {
		return "", err
	}
	if n.namespace == "" {
		return pushAccount, n.cluster.Apply(ctx, rights...)
	}
	return pushAccount + "-" + n.namespace, n.cluster.Apply(ctx, rights...)
}

// AddTenant registers a namespace of a member's cluster as a member of its own.
func (f *Fleet) AddTenant(ctx context.Context, t TenantConfig) error {
	m := MemberConfig{Name: t.Name, Mode: t.Mode, Labels: t.Labels}
	if m.Mode == "" {
		m.Mode = ModePush
	}
	if err := m.check(); err != nil {
		return err
	}
	c := f.Cluster(t.Cluster)
	if c == nil {
		return fmt.Errorf("fleet: tenant %s: there is no cluster %s", t.Name, t.Cluster)
	}
	namespace := cmp.Or(t.Namespace, t.Name)
	object, err := toUnstructured(&corev1.Namespace{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{Name: namespace},
	})
	if err != nil {
		return err
	}
	if err := c.Apply(ctx, object); err != nil {
		return err
	}
	return f.join(ctx, newcomer{MemberConfig: m, cluster: c, namespace: namespace})
}

// join registers a member with the hub.
func (f *Fleet) join(ctx context.Context, n newcomer) error {
	var err error
	if n.Mode == ModePull {
		err = f.joinPull(ctx, n)
	} else {
		err = f.joinPush(ctx, n)
	}
	if err != nil {
		return fmt.Errorf("joining %s: %w", n.Name, err)
	}
	f.say(n.Name, "joined, "+string(n.Mode))
	return nil
}

// joinPush gives the hub a kubeconfig for the member, through the proxy.
func (f *Fleet) joinPush(ctx context.Context, n newcomer) error {
	account, err := n.grant(ctx)
	if err != nil {
		return err
	}
	secret, err := n.credential(ctx, account)
	if err != nil {
		return err
	}
	return f.Cluster(HubName).Apply(ctx, secret, n.memberCluster())
}

// credential is the Secret with the hub's kubeconfig for the member.
func (n newcomer) credential(ctx context.Context, account string) (*unstructured.Unstructured, error) {
	token, err := n.cluster.Token(ctx, HubNamespace, account, tokenTTL)
	if err != nil {
		return nil, err
	}
	config, err := n.cluster.KubeconfigFor(token, true)
	if err != nil {
		return nil, err
	}
	return toUnstructured(&corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: HubNamespace, Name: n.Name + kubeconfigSuffix},
		Data:       map[string][]byte{"kubeconfig": config},
	})
}

// joinPull joins a member as a person does, and starts an agent that reaches the hub
// and the member through the proxies.
func (f *Fleet) joinPull(ctx context.Context, n newcomer) error {
	hub := f.Cluster(HubName)
	account := join.AgentName(n.namespace)
	if f.cfg.NoControllers { // nobody makes a mailbox
		rights, err := join.Rights("pull", n.namespace)
		if err != nil {
			return err
		}
		return errors.Join(n.cluster.Apply(ctx, rights...), hub.Apply(ctx, n.memberCluster()))
	}
	if err := f.claim(ctx, n, false); err != nil {
		return err
	}
	return f.runAgent(ctx, n.cluster, n.Name, account, AgentRun{Args: f.cfg.AgentArgs})
}

// AgentRun is what a single agent is started with.
type AgentRun struct {
	// Args are added to its command line, Env to its environment: "GOGC=50".
	Args, Env []string
}

// RunAgent starts the agent of a member on a cluster that has been given a join token.
func (f *Fleet) RunAgent(ctx context.Context, cluster, member string, run AgentRun) error {
	run.Args = slices.Concat(f.cfg.AgentArgs, run.Args)
	return f.runAgent(ctx, f.Cluster(cluster), member, join.AgentName(""), run)
}

func (f *Fleet) runAgent(ctx context.Context, c *Cluster, member, account string, run AgentRun) error {
	memberConfig := filepath.Join(f.cfg.Dir, member+".agent.kubeconfig")
	if err := c.writeTokenKubeconfig(ctx, memberConfig, HubNamespace, account); err != nil {
		return err
	}
	return f.startAgent(ctx, agentParams{member: member, secret: HubNamespace + "/" + account, kubeconfig: memberConfig, AgentRun: run})
}

// claim makes a join token for a member and gives it to the member's cluster.
func (f *Fleet) claim(ctx context.Context, n newcomer, replace bool) error {
	line, err := join.CreateToken(ctx, f.Cluster(HubName).client, join.TokenOptions{
		Member: n.Name, Namespace: n.namespace, Labels: n.memberCluster().GetLabels(), Accepted: true, Replace: replace,
		Reach: f.Cluster(HubName).Admin(), TTL: join.ShortestTTL, HubNamespace: HubNamespace, MailboxTimeout: mailboxTimeout,
	})
	if err != nil {
		return err
	}
	objects, err := join.Objects(line, "")
	if err != nil {
		return err
	}
	return n.cluster.Apply(ctx, objects...)
}

// Rejoin takes a Pull member away from its agent, lets its cluster join anew, and
// starts the agent again.
func (f *Fleet) Rejoin(ctx context.Context, member string) error {
	c := f.Cluster(member)
	if err := f.claim(ctx, newcomer{MemberConfig: c.Member(), cluster: c}, true); err != nil {
		return fmt.Errorf("joining %s again: %w", member, err)
	}
	return f.Agent(member).Restart(ctx)
}

// AgentStore is where the agent of a cluster keeps what it knows of its hub.
func (f *Fleet) AgentStore(cluster string) identity.Store {
	return identity.Store{Client: f.Cluster(cluster).client, Key: client.ObjectKey{Namespace: HubNamespace, Name: join.AgentName("")}}
}

// AgentConfig reaches the hub's API server with the credential that the agent of a
// cluster has now.
func (f *Fleet) AgentConfig(ctx context.Context, cluster string) (*rest.Config, error) {
	credential, err := f.AgentStore(cluster).Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("the credential of the agent of %s: %w", cluster, err)
	}
	return f.Cluster(HubName).ConfigFor(credential.Token, false), nil
}

// writeTokenKubeconfig writes a kubeconfig for a ServiceAccount, through the proxy. Like
// a pod's, it names the file of who issues the API server's certificate.
func (c *Cluster) writeTokenKubeconfig(ctx context.Context, path, namespace, account string) error {
	token, err := c.Token(ctx, namespace, account, tokenTTL)
	if err != nil {
		return err
	}
	config := c.ConfigFor(token, true)
	config.CAData, config.CAFile = nil, c.path(trustFile)
	return writeKubeconfig(path, c.name, config)
}

func (n newcomer) memberCluster() *unstructured.Unstructured {
	labels := map[string]string{"example.com/fleet": "local"}
	maps.Copy(labels, n.Labels)
	spec := map[string]any{"mode": string(n.Mode)}
	if n.Mode == ModePush {
		spec["kubeconfigSecretRef"] = map[string]any{"name": n.Name + kubeconfigSuffix}
	}
	if n.namespace != "" {
		spec["namespace"] = n.namespace
	}
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "example.com/v1", "kind": "MemberCluster", "spec": spec,
	}}
	o.SetName(n.Name)
	o.SetLabels(labels)
	return o
}

func (f *Fleet) deploy(path ...string) string {
	return filepath.Join(append([]string{f.cfg.DeployDir}, path...)...)
}

func toUnstructured(o client.Object) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, fmt.Errorf("converting %s: %w", client.ObjectKeyFromObject(o), err)
	}
	return &unstructured.Unstructured{Object: content}, nil
}
