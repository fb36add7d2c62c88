package fleet

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// What deploy/rbac and the hub call the things that joining needs.
const (
	// HubNamespace holds the hub's ServiceAccount and the members' kubeconfigs;
	// on members, the ServiceAccount that the hub or the agent works with.
	HubNamespace     = "myapp-hub-system"
	hubAccount       = "myapp-hub"
	pushAccount      = "myapp-hub"
	pullAccount      = "myapp-agent"
	mailboxPrefix    = "member-"
	mailboxAccount   = "agent"
	kubeconfigSuffix = "-kubeconfig"

	tokenTTL       = 24 * time.Hour
	mailboxTimeout = 60 * time.Second
)

// tenantInFiles is the namespace that the files of deploy/rbac for namespaced
// members have in the place of the member's.
const tenantInFiles = "team-a"

// newcomer is a member on its way to the hub.
type newcomer struct {
	MemberConfig
	cluster *Cluster
	// namespace of a namespaced member, else empty.
	namespace string
}

// grant gives an account on the member's cluster what deploy/rbac says of the
// mode, and returns the account's name.
func (n newcomer) grant(ctx context.Context, f *Fleet) (string, error) {
	file, account := "member-"+strings.ToLower(string(n.Mode)), pushAccount
	if n.Mode == ModePull {
		account = pullAccount
	}
	if n.namespace == "" {
		return account, n.cluster.applyFiles(ctx, f.deploy("rbac", file+".yaml"))
	}
	b, err := os.ReadFile(f.deploy("rbac", file+"-namespaced.yaml"))
	if err != nil {
		return "", fmt.Errorf("rights of a namespaced member: %w", err)
	}
	objects, err := parseManifests(bytes.ReplaceAll(b, []byte(tenantInFiles), []byte(n.namespace)))
	if err != nil {
		return "", fmt.Errorf("rights of a namespaced member: %w", err)
	}
	return account + "-" + n.namespace, n.cluster.Apply(ctx, objects...)
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
	account, err := n.grant(ctx, f)
	if err != nil {
		return err
	}
	token, err := n.cluster.Token(ctx, HubNamespace, account, tokenTTL)
	if err != nil {
		return err
	}
	config, err := n.cluster.KubeconfigFor(token, true)
	if err != nil {
		return err
	}
	secret, err := toUnstructured(&corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: HubNamespace, Name: n.Name + kubeconfigSuffix},
		Data:       map[string][]byte{"kubeconfig": config},
	})
	if err != nil {
		return err
	}
	return f.Cluster(HubName).Apply(ctx, secret, n.memberCluster())
}

// joinPull starts an agent that has access to its mailbox on the hub, and to
// the member, both through the proxies.
func (f *Fleet) joinPull(ctx context.Context, n newcomer) error {
	hub := f.Cluster(HubName)
	account, err := n.grant(ctx, f)
	if err != nil {
		return err
	}
	if err := hub.Apply(ctx, n.memberCluster()); err != nil {
		return err
	}
	if f.cfg.NoControllers {
		return nil // nobody makes the mailbox
	}
	mailbox := client.ObjectKey{Namespace: mailboxPrefix + n.Name, Name: mailboxAccount}
	err = poll(ctx, mailboxTimeout, readyPoll, func(ctx context.Context) error {
		return hub.client.Get(ctx, mailbox, &corev1.ServiceAccount{})
	})
	if err != nil {
		return fmt.Errorf("waiting for the hub to make ServiceAccount %s: %w", mailbox, err)
	}
	hubConfig := filepath.Join(f.cfg.Dir, n.Name+".agent-hub.kubeconfig")
	if err := hub.writeTokenKubeconfig(ctx, hubConfig, mailbox.Namespace, mailbox.Name); err != nil {
		return err
	}
	memberConfig := filepath.Join(f.cfg.Dir, n.Name+".agent.kubeconfig")
	if err := n.cluster.writeTokenKubeconfig(ctx, memberConfig, HubNamespace, account); err != nil {
		return err
	}
	return f.startAgent(ctx, agentParams{member: n.Name, namespace: n.namespace, hubKubeconfig: hubConfig, kubeconfig: memberConfig})
}

// writeTokenKubeconfig writes a kubeconfig for a ServiceAccount, through the proxy.
func (c *Cluster) writeTokenKubeconfig(ctx context.Context, path, namespace, account string) error {
	token, err := c.Token(ctx, namespace, account, tokenTTL)
	if err != nil {
		return err
	}
	b, err := c.KubeconfigFor(token, true)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return fmt.Errorf("writing a kubeconfig for %s: %w", c.name, err)
	}
	return nil
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
