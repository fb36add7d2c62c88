package fleet

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
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

// join registers a member with the hub.
func (f *Fleet) join(ctx context.Context, c *Cluster) error {
	var err error
	if c.member.Mode == ModePull {
		err = f.joinPull(ctx, c)
	} else {
		err = f.joinPush(ctx, c)
	}
	if err != nil {
		return fmt.Errorf("joining %s: %w", c.name, err)
	}
	f.say(c.name, "joined, "+string(c.member.Mode))
	return nil
}

// joinPush gives the hub a kubeconfig for the member, through the proxy.
func (f *Fleet) joinPush(ctx context.Context, c *Cluster) error {
	if err := c.applyFiles(ctx, f.deploy("rbac", "member-push.yaml")); err != nil {
		return err
	}
	token, err := c.Token(ctx, HubNamespace, pushAccount, tokenTTL)
	if err != nil {
		return err
	}
	config, err := c.KubeconfigFor(token, true)
	if err != nil {
		return err
	}
	secret, err := toUnstructured(&corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: HubNamespace, Name: c.name + kubeconfigSuffix},
		Data:       map[string][]byte{"kubeconfig": config},
	})
	if err != nil {
		return err
	}
	return f.Cluster(HubName).Apply(ctx, secret, memberCluster(c.member))
}

// joinPull starts an agent that has access to its mailbox on the hub, and to
// the member, both through the proxies.
func (f *Fleet) joinPull(ctx context.Context, c *Cluster) error {
	hub := f.Cluster(HubName)
	if err := c.applyFiles(ctx, f.deploy("rbac", "member-pull.yaml")); err != nil {
		return err
	}
	if err := hub.Apply(ctx, memberCluster(c.member)); err != nil {
		return err
	}
	if f.cfg.NoControllers {
		return nil // nobody makes the mailbox
	}
	mailbox := client.ObjectKey{Namespace: mailboxPrefix + c.name, Name: mailboxAccount}
	err := poll(ctx, mailboxTimeout, readyPoll, func(ctx context.Context) error {
		return hub.client.Get(ctx, mailbox, &corev1.ServiceAccount{})
	})
	if err != nil {
		return fmt.Errorf("waiting for the hub to make ServiceAccount %s: %w", mailbox, err)
	}
	hubConfig := filepath.Join(f.cfg.Dir, c.name+".agent-hub.kubeconfig")
	if err := hub.writeTokenKubeconfig(ctx, hubConfig, mailbox.Namespace, mailbox.Name); err != nil {
		return err
	}
	memberConfig := filepath.Join(f.cfg.Dir, c.name+".agent.kubeconfig")
	if err := c.writeTokenKubeconfig(ctx, memberConfig, HubNamespace, pullAccount); err != nil {
		return err
	}
	return f.startAgent(ctx, c.name, hubConfig, memberConfig)
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

func memberCluster(m MemberConfig) *unstructured.Unstructured {
	labels := map[string]string{"example.com/fleet": "local"}
	maps.Copy(labels, m.Labels)
	spec := map[string]any{"mode": string(m.Mode)}
	if m.Mode == ModePush {
		spec["kubeconfigSecretRef"] = map[string]any{"name": m.Name + kubeconfigSuffix}
	}
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "example.com/v1", "kind": "MemberCluster", "spec": spec,
	}}
	o.SetName(m.Name)
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
